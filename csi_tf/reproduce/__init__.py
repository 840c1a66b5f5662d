"""The paper from beginning to end: models, measures, figures, claims."""
