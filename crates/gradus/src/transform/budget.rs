//! Amounts of memory as users write them.

use gradus_core::memory::Amount;
use gradus_core::{Budget, ErrorKind, Result};

/// What [`Jit::memory_budget`](crate::Jit::memory_budget) and the limits of memory take: a number of bytes, or text such as `"300 MiB"`, `"2 GB"` or
/// `"60%"`.
pub trait IntoBudget {
    /// The budget meant.
    ///
    /// # Errors
    /// If the text is no amount.
    fn into_budget(self) -> Result<Budget>;
}

impl IntoBudget for Budget {
    fn into_budget(self) -> Result<Budget> {
        Ok(self)
    }
}

impl IntoBudget for usize {
    fn into_budget(self) -> Result<Budget> {
        Ok(Budget::Bytes(self))
    }
}

impl IntoBudget for &str {
    fn into_budget(self) -> Result<Budget> {
        match self.parse::<Amount>() {
            Ok(Amount::Bytes(bytes)) => Ok(Budget::Bytes(bytes)),
            Ok(Amount::Share(share)) => Ok(Budget::Share(share)),
            Err(error) => {
                Err(ErrorKind::Argument { op: "amount of memory", detail: error.to_string() }.into())
            }
        }
    }
}
