//! Every derivative formula, once.
