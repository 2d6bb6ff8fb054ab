"""The course's listings, as docs/course.md has them, and what the texts say comes out."""
