//! The keys of compiled programs, and the reasons for recompilation.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use gradus_core::Type;

use super::axes::Axes;
use crate::structure::{RecordedPart, Structure, change, differences, same_places};
use crate::{Device, Tensor, Tree};

/// The number of programs for one structure from which on there is a warning.
const MANY: usize = 8;

/// So many of the last reasons are kept.
const REASONS: usize = 64;

/// All that a function can read while it is recorded: static parts, types and devices of its argument, named axes.
pub(super) struct Key {
    parts: Vec<RecordedPart>,
    leaves: Vec<(String, Type, Device)>,
    axes: Axes,
}

impl Key {
    pub(super) fn of(x: &impl Tree, leaves: &[Tensor]) -> Key {
        let mut paths = x.leaves().into_iter().map(|leaf| leaf.0);
        let leaf = |t: &Tensor| (paths.next().unwrap_or_default(), t.ty(), t.device());
        Key { parts: Structure::record(x), leaves: leaves.iter().map(leaf).collect(), axes: Axes::now() }
    }

    /// The common properties of arguments with equal keys.
    pub(super) fn hash(x: &impl Tree, leaves: &[Tensor]) -> u64 {
        let mut hasher = Structure::hash(x, DefaultHasher::new());
        for leaf in leaves {
            (leaf.dtype(), leaf.shape()).hash(&mut hasher);
        }
        Axes::hash(&mut hasher);
        hasher.finish()
    }

    fn matches(&self, x: &impl Tree, leaves: &[Tensor]) -> bool {
        let same = |((_, ty, device), leaf): (&(String, Type, Device), &Tensor)| {
            ty.dtype == leaf.dtype() && ty.shape == *leaf.shape() && leaf.device_ref() == device
        };
        self.leaves.len() == leaves.len()
            && self.leaves.iter().zip(leaves).all(same)
            && Structure::matches(x, &self.parts)
            && self.axes.are_open()
    }

    /// Whether two keys are of trees with the same things in the same places.
    fn alike(&self, other: &Key) -> bool {
        self.leaves.len() == other.leaves.len()
            && self.leaves.iter().zip(&other.leaves).all(|(a, b)| a.0 == b.0)
            && same_places(&self.parts, &other.parts)
    }

    /// The differences, and how many parts only one of the two has.
    fn differences(&self, was: &Key) -> (Vec<String>, usize) {
        let (mut out, alone) = differences(&was.parts, &self.parts);
        for (was, is) in was.leaves.iter().zip(&self.leaves).filter(|(was, is)| was.0 == is.0) {
            if was.1 != is.1 {
                out.push(change(&is.0, &was.1.to_string(), &is.1.to_string()));
            }
            if was.2 != is.2 {
                let other = if was.2.name() == is.2.name() { "another " } else { "" };
                out.push(change(&is.0, &format!("on `{:?}`", was.2), &format!("on {other}`{:?}`", is.2)));
            }
        }
        out.extend(self.axes.difference(&was.axes));
        let tensors = was.leaves.len().abs_diff(self.leaves.len());
        if out.is_empty() && tensors > 0 {
            out.push(format!("there were {} tensors, there are {}", was.leaves.len(), self.leaves.len()));
        }
        (out, alone + tensors)
    }

    fn is(&self, other: &Key) -> bool {
        let (differences, alone) = self.differences(other);
        differences.is_empty() && alone == 0
    }
}

/// The programs of one compiled function, each with its key and its number.
pub(super) struct Programs<P> {
    by_hash: HashMap<u64, Vec<(Key, usize, P)>>,
    made: usize,
    why: Vec<String>,
    warned: bool,
}

impl<P> Default for Programs<P> {
    fn default() -> Self {
        Programs { by_hash: HashMap::new(), made: 0, why: Vec::new(), warned: false }
    }
}

impl<P> Programs<P> {
    /// How many have been compiled.
    pub(super) fn made(&self) -> usize {
        self.made
    }

    /// Drops all programs, but keeps the records of them.
    pub(super) fn take(&mut self) -> impl Sized + use<P> {
        std::mem::take(&mut self.by_hash)
    }

    pub(super) fn find(&self, hash: u64, x: &impl Tree, leaves: &[Tensor]) -> Option<&P> {
        self.by_hash.get(&hash)?.iter().find(|(key, ..)| key.matches(x, leaves)).map(|(.., program)| program)
    }

    /// Adds a program, unless another thread has added one for the same key meanwhile, and drops those that are no longer
    /// there.
    pub(super) fn insert(&mut self, hash: u64, key: Key, program: P, is_there: impl Fn(&P) -> bool) {
        let same = self.by_hash.get(&hash).and_then(|programs| programs.iter().find(|p| p.0.is(&key)));
        let given_up = match same {
            Some((.., program)) if is_there(program) => return,
            Some((_, number, _)) => Some(format!("program {number} was given up to free memory")),
            None => None,
        };
        self.by_hash.retain(|_, programs| {
            programs.retain(|(.., program)| is_there(program));
            !programs.is_empty()
        });
        self.made += 1;
        let others = || self.by_hash.values().flatten();
        let recent = others().filter(|(_, number, _)| number + REASONS > self.made);
        let nearest = recent
            .map(|(other, number, _)| (key.differences(other), *number))
            .min_by_key(|((differences, alone), number)| (differences.len() + alone, usize::MAX - number));
        let alike = others().filter(|(other, ..)| key.alike(other)).count() + 1;
        if let Some(why) = given_up.or_else(|| nearest.map(|((differences, _), _)| differences.join("; "))) {
            if self.why.len() == REASONS {
                self.why.remove(0);
            }
            self.why.push(format!("program {}: {why}", self.made));
        }
        if alike > MANY && !self.warned {
            self.warned = true;
            let last = self.why.last().map_or("", String::as_str);
            log::warn!(
                "jit has compiled {alike} programs for arguments of one structure ({last}); pass numbers that change \
                 as tensors, and keep shapes the same: `why_recompiled` tells about each"
            );
        }
        self.by_hash.entry(hash).or_default().push((key, self.made, program));
    }

    pub(super) fn why(&self) -> String {
        self.why.join("\n")
    }
}
