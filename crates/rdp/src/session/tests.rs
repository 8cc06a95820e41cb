//! Tests at the border.
