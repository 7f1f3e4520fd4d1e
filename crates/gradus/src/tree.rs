//! Trees of tensors: the arguments and results of every transform.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use crate::Tensor;

/// Where a leaf sits in a tree: `layers.0.weight`.
#[derive(Clone, Debug, Default)]
pub struct TreePath(Vec<String>);

impl TreePath {
    /// Runs `f` one step further in.
    pub fn within<R>(&mut self, step: impl ToString, f: impl FnOnce(&mut Self) -> R) -> R {
        self.0.push(step.to_string());
        let result = f(self);
        self.0.pop();
        result
    }

    /// The steps from the root.
    pub fn steps(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

/// A value made of tensors and static parts: what transforms take and return.
///
/// Implemented for [`Tensor`], tuples, arrays, `Vec`, `Option`, `Box`, maps and static values (numbers, strings, booleans,
/// `()`), and by `#[derive(Tree)]` for structs and enums of those. Gradients and optimiser states of a tree have the
/// same type as the tree.
///
/// ```
/// use gradus::{Tensor, Tree};
///
/// #[derive(Clone, Tree)]
/// struct Linear { weight: Tensor, bias: Option<Tensor>, name: String }
///
/// let layer = Linear { weight: Tensor::from([[1.0, 2.0]]), bias: None, name: "out".into() };
/// let paths: Vec<String> = layer.leaves().into_iter().map(|(path, _)| path).collect();
/// assert_eq!(paths, ["weight"]);
/// ```
pub trait Tree: Sized {
    /// Calls `f` for each tensor, in a fixed order.
    fn visit(&self, path: &mut TreePath, f: &mut dyn FnMut(&TreePath, &Tensor));
    /// The same tree with every tensor replaced, in the order of [`visit`](Tree::visit).
    fn map(&self, f: &mut dyn FnMut(&Tensor) -> Tensor) -> Self;
    /// Feeds all that is not a tensor to a hasher: variants, lengths, keys, static values.
    fn structure(&self, state: &mut dyn Hasher);

    /// The tensors with their paths.
    fn leaves(&self) -> Vec<(String, Tensor)> {
        let mut out = Vec::new();
        self.visit(&mut TreePath::default(), &mut |path, t| out.push((path.to_string(), t.clone())));
        out
    }

    /// The tensors.
    fn tensors(&self) -> Vec<Tensor> {
        let mut out = Vec::new();
        self.visit(&mut TreePath::default(), &mut |_, t| out.push(t.clone()));
        out
    }

    /// Combines two trees of one structure, tensor by tensor.
    ///
    /// # Panics
    /// If the trees have different numbers of tensors.
    #[track_caller]
    fn zip_map(&self, other: &Self, f: impl Fn(&Tensor, &Tensor) -> Tensor) -> Self {
        let (own, others) = (self.tensors().len(), other.tensors());
        if own != others.len() {
            let detail =
                format!("the trees have {own} and {} tensors; both need the same structure", others.len());
            crate::raise(gradus_core::ErrorKind::Argument { op: "zip_map", detail });
        }
        let mut others = others.iter();
        self.map(&mut |t| f(t, others.next().expect("counted above")))
    }

    /// The tree with `tensors` for its leaves, in order.
    ///
    /// # Panics
    /// If there are more or fewer of them than leaves.
    fn with_tensors(&self, tensors: impl IntoIterator<Item = Tensor>) -> Self {
        let mut tensors = tensors.into_iter();
        let tree = self.map(&mut |_| tensors.next().expect("with_tensors: fewer tensors than leaves"));
        assert!(tensors.next().is_none(), "with_tensors: more tensors than leaves");
        tree
    }
}

impl Tree for Tensor {
    fn visit(&self, path: &mut TreePath, f: &mut dyn FnMut(&TreePath, &Tensor)) {
        f(path, self);
    }
    fn map(&self, f: &mut dyn FnMut(&Tensor) -> Tensor) -> Self {
        f(self)
    }
    fn structure(&self, _: &mut dyn Hasher) {}
}

macro_rules! statics {
    ($($t:ty => $hash:expr),+ $(,)?) => { $(
        impl Tree for $t {
            fn visit(&self, _: &mut TreePath, _: &mut dyn FnMut(&TreePath, &Tensor)) {}
            fn map(&self, _: &mut dyn FnMut(&Tensor) -> Tensor) -> Self { self.clone() }
            fn structure(&self, mut state: &mut dyn Hasher) {
                let hash: fn(&$t) -> _ = $hash;
                hash(self).hash(&mut state);
            }
        }
    )+ };
}
statics! {
    () => |_| 0u8, bool => |x| *x, char => |x| *x, String => String::clone, &'static str => |x| *x,
    u8 => |x| *x, u16 => |x| *x, u32 => |x| *x, u64 => |x| *x, usize => |x| *x,
    i8 => |x| *x, i16 => |x| *x, i32 => |x| *x, i64 => |x| *x, isize => |x| *x,
    f32 => |x| x.to_bits(), f64 => |x| x.to_bits(),
}

impl<T> Tree for PhantomData<T> {
    fn visit(&self, _: &mut TreePath, _: &mut dyn FnMut(&TreePath, &Tensor)) {}
    fn map(&self, _: &mut dyn FnMut(&Tensor) -> Tensor) -> Self {
        PhantomData
    }
    fn structure(&self, _: &mut dyn Hasher) {}
}

impl<T: Tree> Tree for Option<T> {
    fn visit(&self, path: &mut TreePath, f: &mut dyn FnMut(&TreePath, &Tensor)) {
        if let Some(inner) = self {
            inner.visit(path, f);
        }
    }
    fn map(&self, f: &mut dyn FnMut(&Tensor) -> Tensor) -> Self {
        self.as_ref().map(|inner| inner.map(f))
    }
    fn structure(&self, mut state: &mut dyn Hasher) {
        self.is_some().hash(&mut state);
        if let Some(inner) = self {
            inner.structure(state);
        }
    }
}

impl<T: Tree> Tree for Box<T> {
    fn visit(&self, path: &mut TreePath, f: &mut dyn FnMut(&TreePath, &Tensor)) {
        (**self).visit(path, f);
    }
    fn map(&self, f: &mut dyn FnMut(&Tensor) -> Tensor) -> Self {
        Box::new((**self).map(f))
    }
    fn structure(&self, state: &mut dyn Hasher) {
        (**self).structure(state);
    }
}

fn visit_all<T: Tree>(items: &[T], path: &mut TreePath, f: &mut dyn FnMut(&TreePath, &Tensor)) {
    for (i, item) in items.iter().enumerate() {
        path.within(i, |path| item.visit(path, f));
    }
}

impl<T: Tree> Tree for Vec<T> {
    fn visit(&self, path: &mut TreePath, f: &mut dyn FnMut(&TreePath, &Tensor)) {
        visit_all(self, path, f);
    }
    fn map(&self, f: &mut dyn FnMut(&Tensor) -> Tensor) -> Self {
        self.iter().map(|item| item.map(f)).collect()
    }
    fn structure(&self, mut state: &mut dyn Hasher) {
        self.len().hash(&mut state);
        self.iter().for_each(|item| item.structure(state));
    }
}

impl<T: Tree, const N: usize> Tree for [T; N] {
    fn visit(&self, path: &mut TreePath, f: &mut dyn FnMut(&TreePath, &Tensor)) {
        visit_all(self, path, f);
    }
    fn map(&self, f: &mut dyn FnMut(&Tensor) -> Tensor) -> Self {
        self.each_ref().map(|item| item.map(f))
    }
    fn structure(&self, state: &mut dyn Hasher) {
        self.iter().for_each(|item| item.structure(state));
    }
}

impl<K: Ord + Clone + Hash + fmt::Display, T: Tree> Tree for BTreeMap<K, T> {
    fn visit(&self, path: &mut TreePath, f: &mut dyn FnMut(&TreePath, &Tensor)) {
        for (key, item) in self {
            path.within(key, |path| item.visit(path, f));
        }
    }
    fn map(&self, f: &mut dyn FnMut(&Tensor) -> Tensor) -> Self {
        self.iter().map(|(key, item)| (key.clone(), item.map(f))).collect()
    }
    fn structure(&self, mut state: &mut dyn Hasher) {
        for (key, item) in self {
            key.hash(&mut state);
            item.structure(state);
        }
    }
}

impl<K: Ord + Clone + Hash + fmt::Display, T: Tree> Tree for HashMap<K, T> {
    /// In the order of the keys, so that the order is the same in every run.
    fn visit(&self, path: &mut TreePath, f: &mut dyn FnMut(&TreePath, &Tensor)) {
        for key in sorted(self) {
            path.within(key, |path| self[key].visit(path, f));
        }
    }
    fn map(&self, f: &mut dyn FnMut(&Tensor) -> Tensor) -> Self {
        sorted(self).into_iter().map(|key| (key.clone(), self[key].map(f))).collect()
    }
    fn structure(&self, mut state: &mut dyn Hasher) {
        for key in sorted(self) {
            key.hash(&mut state);
            self[key].structure(state);
        }
    }
}

fn sorted<K: Ord, T>(map: &HashMap<K, T>) -> Vec<&K> {
    let mut keys: Vec<&K> = map.keys().collect();
    keys.sort();
    keys
}

macro_rules! tuples {
    ($($($name:ident $i:tt),+;)+) => { $(
        impl<$($name: Tree),+> Tree for ($($name,)+) {
            fn visit(&self, path: &mut TreePath, f: &mut dyn FnMut(&TreePath, &Tensor)) {
                $( path.within($i, |path| self.$i.visit(path, f)); )+
            }
            fn map(&self, f: &mut dyn FnMut(&Tensor) -> Tensor) -> Self {
                ($( self.$i.map(f), )+)
            }
            fn structure(&self, state: &mut dyn Hasher) {
                $( self.$i.structure(state); )+
            }
        }
    )+ };
}
tuples! {
    A 0;
    A 0, B 1;
    A 0, B 1, C 2;
    A 0, B 1, C 2, D 3;
    A 0, B 1, C 2, D 3, E 4;
    A 0, B 1, C 2, D 3, E 4, G 5;
    A 0, B 1, C 2, D 3, E 4, G 5, H 6;
    A 0, B 1, C 2, D 3, E 4, G 5, H 6, I 7;
}
