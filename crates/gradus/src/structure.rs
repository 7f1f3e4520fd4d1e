//! What a tree is apart from its tensors: variants, lengths, keys and static values, part by part.
//!
//! A compiled function is found by the structure of its argument. [`Structure`] is what
//! [`Tree::structure`](crate::Tree::structure) tells the parts to: it hashes them to find candidates, compares them with
//! those of a recorded argument without allocating, or records them with the paths that messages name.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::fmt::{Debug, Display};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::Tree;

/// Visits the parts of a tree that are not tensors, in a fixed order.
pub struct Structure<'a>(Visit<'a>);

enum Visit<'a> {
    Hash(DefaultHasher),
    Compare { recorded: &'a [RecordedPart], at: usize, same: bool },
    Record { path: Vec<String>, parts: Vec<RecordedPart> },
}

/// One recorded part.
pub(crate) struct RecordedPart {
    path: String,
    value: Box<dyn Value>,
}

trait Value: Any + Send + Sync {
    fn same(&self, other: &dyn Any) -> bool;
    fn show(&self) -> String;
}

struct Static<T>(T, fn(&T) -> String);

impl<T: Eq + Send + Sync + 'static> Value for Static<T> {
    fn same(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<Self>().is_some_and(|other| self.0 == other.0)
    }
    fn show(&self) -> String {
        (self.1)(&self.0)
    }
}

impl Structure<'_> {
    /// Tells a static value. Two structures are the same where their values are equal.
    pub fn part<T: Hash + Eq + Clone + Debug + Send + Sync + 'static>(&mut self, value: &T) {
        self.shown(value, |value| format!("{value:?}"));
    }

    /// [`part`](Self::part) for a value with words of its own.
    pub(crate) fn shown<T: Hash + Eq + Clone + Send + Sync + 'static>(
        &mut self,
        value: &T,
        show: fn(&T) -> String,
    ) {
        match &mut self.0 {
            Visit::Hash(hasher) => value.hash(hasher),
            Visit::Compare { recorded, at, same } => {
                let there = recorded.get(*at).map(|part| &*part.value as &dyn Any);
                *same =
                    *same && there.and_then(|v| v.downcast_ref::<Static<T>>()).is_some_and(|v| v.0 == *value);
                *at += 1;
            }
            Visit::Record { path, parts } => {
                parts.push(RecordedPart {
                    path: path.join("."),
                    value: Box::new(Static(value.clone(), show)),
                });
            }
        }
    }

    /// Tells which variant of an enum it is.
    pub fn variant(&mut self, name: &'static str) {
        self.shown(&name, |name| (*name).to_string());
    }

    /// Tells the parts of what lies one step further in.
    pub fn within<R>(&mut self, step: impl Display, f: impl FnOnce(&mut Self) -> R) -> R {
        if let Visit::Record { path, .. } = &mut self.0 {
            path.push(step.to_string());
        }
        let result = f(self);
        if let Visit::Record { path, .. } = &mut self.0 {
            path.pop();
        }
        result
    }

    /// Feeds the parts of a tree to a hasher.
    pub(crate) fn hash(tree: &impl Tree, hasher: DefaultHasher) -> DefaultHasher {
        let mut structure = Structure(Visit::Hash(hasher));
        tree.structure(&mut structure);
        match structure.0 {
            Visit::Hash(hasher) => hasher,
            Visit::Compare { .. } | Visit::Record { .. } => DefaultHasher::new(),
        }
    }

    /// The parts of a tree.
    pub(crate) fn record(tree: &impl Tree) -> Vec<RecordedPart> {
        let mut structure = Structure(Visit::Record { path: Vec::new(), parts: Vec::new() });
        tree.structure(&mut structure);
        match structure.0 {
            Visit::Record { parts, .. } => parts,
            Visit::Hash(_) | Visit::Compare { .. } => Vec::new(),
        }
    }

    /// Whether a tree has the parts recorded of another.
    pub(crate) fn matches(tree: &impl Tree, recorded: &[RecordedPart]) -> bool {
        let mut structure = Structure(Visit::Compare { recorded, at: 0, same: true });
        tree.structure(&mut structure);
        matches!(structure.0, Visit::Compare { at, same: true, .. } if at == recorded.len())
    }
}

/// Where two trees have different static parts, "`.1` was 0.5, is 1.5", and how many parts one of them has alone.
pub(crate) fn differences(was: &[RecordedPart], is: &[RecordedPart]) -> (Vec<String>, usize) {
    let mut unmatched: HashMap<&str, VecDeque<&RecordedPart>> = HashMap::new();
    for part in was {
        unmatched.entry(&part.path).or_default().push_back(part);
    }
    let (mut out, mut alone) = (Vec::new(), 0);
    for is in is {
        match unmatched.get_mut(&*is.path).and_then(VecDeque::pop_front) {
            Some(was) if was.value.same(&*is.value as &dyn Any) => {}
            Some(was) => out.push(change(&is.path, &was.value.show(), &is.value.show())),
            None => alone += 1,
        }
    }
    (out, alone + unmatched.values().map(VecDeque::len).sum::<usize>())
}

/// A part that was one thing and is another, which may be written the same.
pub(crate) fn change(path: &str, was: &str, is: &str) -> String {
    let is = if was == is { "another one" } else { is };
    format!("{} was {was}, is {is}", place(path))
}

/// A path as messages name it: `` `.layers.0` ``.
fn place(path: &str) -> String {
    if path.is_empty() { "the argument".to_string() } else { format!("`.{path}`") }
}

/// Whether two trees differ in their values alone, not in what they have where.
pub(crate) fn same_places(a: &[RecordedPart], b: &[RecordedPart]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.path == b.path)
}

/// A float as a static part: equal by its bits, so that NaN is itself and the zeros differ.
#[derive(Clone)]
pub(crate) struct Bits<T>(pub(crate) T);

macro_rules! bits {
    ($($t:ty),+) => { $(
        impl PartialEq for Bits<$t> {
            fn eq(&self, other: &Self) -> bool { self.0.to_bits() == other.0.to_bits() }
        }
        impl Eq for Bits<$t> {}
        impl Hash for Bits<$t> {
            fn hash<H: Hasher>(&self, state: &mut H) { self.0.to_bits().hash(state) }
        }
    )+ };
}
bits!(f32, f64);

/// How the derive tells a field marked `#[tree(skip)]`. Of the traits that fit a type the first one here is taken: the
/// method call is written on a reference to a reference, and the compiler takes off one at a time.
#[doc(hidden)]
pub mod skipped {
    use super::{Debug, Hash, Structure};
    use crate::Tree;

    pub struct Field<'a, T>(pub &'a T);

    /// A tree without tensors: numbers, floats by their bits, strings, and containers of those.
    #[diagnostic::on_unimplemented(
        message = "a field of type `{Self}` cannot be marked `#[tree(skip)]`",
        label = "compiled functions would not see it change",
        note = "a skipped field is a static part of the key of `jit`: derive `Clone, PartialEq, Eq, Hash` for `{Self}` (it has to be `Send + Sync + 'static`, too)",
        note = "if it holds tensors, derive `Tree` for `{Self}` and remove `#[tree(skip)]`"
    )]
    pub trait Static: Tree {}

    pub trait ByValue {
        fn tell(&self, structure: &mut Structure<'_>);
    }
    impl<T: Hash + Eq + Clone + Debug + Send + Sync + 'static> ByValue for &&&Field<'_, T> {
        fn tell(&self, structure: &mut Structure<'_>) {
            structure.part(self.0);
        }
    }

    pub trait ByType {
        fn tell(&self, structure: &mut Structure<'_>);
    }
    impl<T: Hash + Eq + Clone + Send + Sync + 'static> ByType for &&Field<'_, T> {
        fn tell(&self, structure: &mut Structure<'_>) {
            structure.shown(self.0, |_| format!("a `{}`", std::any::type_name::<T>()));
        }
    }

    pub trait ByTree {
        fn tell(&self, structure: &mut Structure<'_>);
    }
    impl<T: Static> ByTree for &Field<'_, T> {
        fn tell(&self, structure: &mut Structure<'_>) {
            self.0.structure(structure);
        }
    }

    pub trait Refused<T> {
        fn tell(&self, structure: &mut Structure<'_>)
        where
            T: Static;
    }
    impl<T> Refused<T> for Field<'_, T> {
        fn tell(&self, structure: &mut Structure<'_>)
        where
            T: Static,
        {
            self.0.structure(structure);
        }
    }
}
