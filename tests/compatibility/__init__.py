"""How much is seen of which program: tried on real ones of all ages, languages and ways of linking."""
