"""Foundation models behind one small interface each: captioner, generator, embedder, chat client and its server."""
