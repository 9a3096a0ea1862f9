"""Films: scenes, tracks of faces, steady faces, reading and writing."""
