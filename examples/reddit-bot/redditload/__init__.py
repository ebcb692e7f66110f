"""A bounded load for the example application, in phases: one for its good days and one for each trouble."""
