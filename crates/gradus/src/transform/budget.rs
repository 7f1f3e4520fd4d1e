//! Amounts of memory as users write them.

use gradus_core::{ErrorKind, Result};
use gradus_plan::Budget;

/// What [`Jit::memory_budget`](crate::Jit::memory_budget) takes: a number of bytes, or text such as `"300 MiB"`, `"2 GB"` or
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
        let text = self.trim();
        let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let number = text[..text.len() - unit.len()].parse::<f64>().ok();
        let bytes = |scale: f64| number.map(|n| Budget::Bytes((n * scale) as usize));
        let budget = match unit.trim() {
            "%" => number.map(|n| Budget::Share(n / 100.0)),
            "" | "B" => bytes(1.0),
            "kB" | "KB" => bytes(1e3),
            "MB" => bytes(1e6),
            "GB" => bytes(1e9),
            "KiB" => bytes(1024.0),
            "MiB" => bytes(1024.0 * 1024.0),
            "GiB" => bytes(1024.0 * 1024.0 * 1024.0),
            _ => None,
        };
        budget.ok_or_else(|| {
            let detail =
                format!("\"{self}\" is no amount; write bytes, or text such as \"300 MiB\" or \"60%\"");
            ErrorKind::Argument { op: "memory_budget", detail }.into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        for (text, budget) in [
            ("60%", Budget::Share(0.6)),
            ("300 MiB", Budget::Bytes(300 << 20)),
            ("1.5kB", Budget::Bytes(1500)),
            ("42", Budget::Bytes(42)),
        ] {
            assert_eq!(text.into_budget().unwrap(), budget);
        }
        for text in ["", "much", "12 parsecs", "-3", "1.2.3%"] {
            assert!(text.into_budget().unwrap_err().to_string().contains("no amount"), "{text}");
        }
    }
}
