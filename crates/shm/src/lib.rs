//! rdpmux shm.
