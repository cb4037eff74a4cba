"""The vectors and what is known of them, in LanceDB tables. The only home of Lance; knows nothing of pixels or Ray."""
