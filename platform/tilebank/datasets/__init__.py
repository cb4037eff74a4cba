"""Who is in a study and what is true of them: metadata only. Knows nothing of pixels, Ray or Lance."""
