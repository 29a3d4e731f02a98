//! Losses and initializers against PyTorch.
//!
//! Fixtures are in `tests/fixtures`, the scripts that wrote them in `tests/generators` of the repository.

mod init;
mod loss;
