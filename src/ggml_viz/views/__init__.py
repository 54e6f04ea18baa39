"""What a face shows of a trace, laid out but not drawn: the same for all faces, without any toolkit."""
