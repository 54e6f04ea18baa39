"""What the Timeline panel is made of: arithmetic of views, tiles, lanes and pictures, apart from drawing."""
