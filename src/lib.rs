//! The node of commonwork.
