//! The ways to take one step that are compared.

use std::fmt;

use gradus::{Budget, Jit, Strategy, Tree};

/// One way: a strategy for what is kept, or a share of the memory that the planner would take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
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
    /// The planner's choice within so many per cent of the peak that it takes without a limit.
    Budget(u8),
}

impl Way {
    /// Those that are compared if none are named, in the order of the table.
    pub const ALL: [Way; 7] = [
        Way::Plain,
        Way::Recompute,
        Way::Nested,
        Way::Auto,
        Way::Budget(75),
        Way::Budget(50),
        Way::Budget(35),
    ];

    /// The way of a name: `plain`, `recompute`, `rederive`, `nested`, `auto`, or a share such as `50%`.
    pub fn parse(text: &str) -> Result<Way, String> {
        let mut all = Way::ALL.into_iter().chain([Way::Rederive]);
        let named = all.find(|w| w.to_string() == text);
        let share =
            || text.strip_suffix('%')?.parse().ok().filter(|p| (1..=100).contains(p)).map(Way::Budget);
        named.or_else(share).ok_or_else(|| {
            "a strategy is plain, recompute, rederive, nested, auto, or a share of the memory such as 50%"
                .into()
        })
    }

    /// Whether its results must have the bits of [`Way::Auto`].
    pub fn is_automatic(self) -> bool {
        matches!(self, Way::Auto | Way::Budget(_))
    }

    /// A compiled function set to go this way.
    pub fn set<A: Tree, B: Tree, F: Fn(&A) -> B>(self, f: Jit<A, B, F>) -> Jit<A, B, F> {
        match self {
            Way::Plain => f.strategy(Strategy::Plain),
            Way::Recompute => f.strategy(Strategy::Recompute),
            Way::Rederive => f.strategy(Strategy::Rederive),
            Way::Nested => f.strategy(Strategy::Nested),
            Way::Auto => f,
            Way::Budget(percent) => f.memory_budget(Budget::Share(f64::from(percent) / 100.0)),
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Way::Plain => f.pad("plain"),
            Way::Recompute => f.pad("recompute"),
            Way::Rederive => f.pad("rederive"),
            Way::Nested => f.pad("nested"),
            Way::Auto => f.pad("auto"),
            Way::Budget(percent) => f.pad(&format!("{percent}%")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for way in Way::ALL.into_iter().chain([Way::Rederive]) {
            assert_eq!(Way::parse(&way.to_string()), Ok(way));
        }
        assert_eq!(Way::parse("60%"), Ok(Way::Budget(60)));
        for text in ["", "fast", "0%", "101%", "50"] {
            assert!(Way::parse(text).is_err(), "{text}");
        }
    }
}
