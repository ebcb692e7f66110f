"""A bounded load for the example application: a phase for its good days, one for each trouble."""
