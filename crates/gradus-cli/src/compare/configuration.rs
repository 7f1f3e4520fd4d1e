//! The configurations of a training step that are compared.

use std::fmt;

use gradus::{Budget, Jit, Strategy, Tree};

/// A configuration: a strategy for the kept residuals, or a share of the memory that the planner would take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Configuration {
    /// Each primitive keeps what its rule reads.
    Plain,
    /// Element-wise regions keep what enters them.
    Recompute,
    /// Element-wise regions keep what enters them and what products read.
    Rederive,
    /// Element-wise regions keep their derivatives.
    Nested,
    /// The planner's choice.
    Auto,
    /// The planner's choice under a budget: this percentage of the peak without a limit.
    Budget(u8),
}

impl Configuration {
    /// Those that are compared if none are named, in the order of the table.
    pub const ALL: [Configuration; 7] = [
        Configuration::Plain,
        Configuration::Recompute,
        Configuration::Nested,
        Configuration::Auto,
        Configuration::Budget(75),
        Configuration::Budget(50),
        Configuration::Budget(35),
    ];

    /// The configuration of a name: `plain`, `recompute`, `rederive`, `nested`, `auto`, or a share such as `50%`.
    pub fn parse(text: &str) -> Result<Configuration, String> {
        let mut all = Configuration::ALL.into_iter().chain([Configuration::Rederive]);
        let named = all.find(|w| w.to_string() == text);
        let share = || {
            text.strip_suffix('%')?.parse().ok().filter(|p| (1..=100).contains(p)).map(Configuration::Budget)
        };
        named.or_else(share).ok_or_else(|| {
            "a strategy is plain, recompute, rederive, nested, auto, or a share of the memory such as 50%"
                .into()
        })
    }

    /// Whether its results must have the bits of [`Configuration::Auto`].
    pub fn is_automatic(self) -> bool {
        matches!(self, Configuration::Auto | Configuration::Budget(_))
    }

    /// A compiled function set to this configuration.
    pub fn set<A: Tree, B: Tree, F: Fn(&A) -> B>(self, f: Jit<A, B, F>) -> Jit<A, B, F> {
        match self {
            Configuration::Plain => f.strategy(Strategy::Plain),
            Configuration::Recompute => f.strategy(Strategy::Recompute),
            Configuration::Rederive => f.strategy(Strategy::Rederive),
            Configuration::Nested => f.strategy(Strategy::Nested),
            Configuration::Auto => f,
            Configuration::Budget(percent) => f.memory_budget(Budget::Share(f64::from(percent) / 100.0)),
        }
    }
}

impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Configuration::Plain => f.pad("plain"),
            Configuration::Recompute => f.pad("recompute"),
            Configuration::Rederive => f.pad("rederive"),
            Configuration::Nested => f.pad("nested"),
            Configuration::Auto => f.pad("auto"),
            Configuration::Budget(percent) => f.pad(&format!("{percent}%")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for configuration in Configuration::ALL.into_iter().chain([Configuration::Rederive]) {
            assert_eq!(Configuration::parse(&configuration.to_string()), Ok(configuration));
        }
        assert_eq!(Configuration::parse("60%"), Ok(Configuration::Budget(60)));
        for text in ["", "fast", "0%", "101%", "50"] {
            assert!(Configuration::parse(text).is_err(), "{text}");
        }
    }
}
