"""Questions to the past, read only: histories, audits of rows and models, differences, SQL."""
