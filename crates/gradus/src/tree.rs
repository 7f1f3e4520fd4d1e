//! Trees of tensors: the arguments and results of every transform.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;

use crate::structure::skipped::Static;
use crate::structure::{Bits, Structure};
use crate::{Bf16, DType, Device, F16, Number, Shape, Stencil, Strategy, Tensor};

/// Where a leaf sits in a tree: `layers.0.weight`.
#[derive(Clone, Debug, Default)]
pub struct TreePath {
    steps: Vec<String>,
    /// Nobody will ask for the steps: none is written down.
    unnamed: bool,
}

impl TreePath {
    /// Runs `f` one step further in.
    pub fn within<R>(&mut self, step: impl ToString, f: impl FnOnce(&mut Self) -> R) -> R {
        if self.unnamed {
            return f(self);
        }
        self.steps.push(step.to_string());
        let result = f(self);
        self.steps.pop();
        result
    }

    /// The steps from the root.
    pub fn steps(&self) -> &[String] {
        &self.steps
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.steps.join("."))
    }
}

/// A value made of tensors and static parts: what transforms take and return.
///
/// Implemented for [`Tensor`], tuples, arrays, `Vec`, `Option`, `Box`, maps and static values (numbers, strings, booleans,
/// `()`, [`DType`], [`Shape`], [`Stencil`], [`Strategy`], [`Device`], functions `fn(&A) -> B`), and by `#[derive(Tree)]` for structs and enums of
/// those. Gradients and optimiser states of a tree have the same type as the tree.
///
/// Static values are part of the key by which [`jit`](crate::jit) finds a program, floats by their bits: another value
/// is another program. A field of a type that is no tree is marked `#[tree(skip)]`; it is then a static value, too, and
/// its type has to be `Hash + Eq`. What cannot be compared is refused, since a compiled function would not see it change:
///
/// ```compile_fail
/// # use gradus::{Tensor, Tree};
/// #[derive(Tree)]
/// struct Layer {
///     weight: Tensor,
///     #[tree(skip)] // error: a field of type `Arc<dyn Fn(&Tensor) -> Tensor>` cannot be marked `#[tree(skip)]`
///     activation: std::sync::Arc<dyn Fn(&Tensor) -> Tensor>,
/// }
/// ```
///
/// A function without captured values, `fn(&Tensor) -> Tensor`, and an enum of activations can.
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
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a tree of tensors",
    label = "not a `Tree`",
    note = "derive `Tree` for `{Self}`: `#[derive(gradus::Tree)]`",
    note = "a field that is no tensor and holds none is marked `#[tree(skip)]`; its type then derives `Clone, PartialEq, Eq, Hash`",
    note = "a function without captured values is a tree as `fn(&A) -> B`; what captures values is a struct that derives `Tree`"
)]
pub trait Tree: Sized {
    /// Calls `f` for each tensor, in a fixed order.
    fn visit(&self, path: &mut TreePath, f: &mut dyn FnMut(&TreePath, &Tensor));
    /// The same tree with every tensor replaced, in the order of [`visit`](Tree::visit).
    fn map(&self, f: &mut dyn FnMut(&Tensor) -> Tensor) -> Self;
    /// Tells all that is not a tensor: variants, lengths, keys, static values.
    fn structure(&self, structure: &mut Structure<'_>);

    /// The tensors with their paths.
    fn leaves(&self) -> Vec<(String, Tensor)> {
        let mut out = Vec::new();
        self.visit(&mut TreePath::default(), &mut |path, t| out.push((path.to_string(), t.clone())));
        out
    }

    /// The tensors.
    fn tensors(&self) -> Vec<Tensor> {
        let mut out = Vec::new();
        self.visit(&mut TreePath { unnamed: true, ..TreePath::default() }, &mut |_, t| out.push(t.clone()));
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

/// What the derive refuses: a mark where it would do nothing, and types without values.
///
/// ```compile_fail
/// #[derive(gradus::Tree)]
/// #[tree(skip)] // error: `#[tree(skip)]` marks fields, not types or variants
/// struct Layer { weight: gradus::Tensor }
/// ```
///
/// ```compile_fail
/// #[derive(gradus::Tree)]
/// enum Activation { #[tree(skip)] Scaled(gradus::Tensor) }
/// ```
///
/// ```compile_fail
/// #[derive(gradus::Tree)]
/// struct Layer { #[tree(static)] width: usize } // error: unknown option; the only one is `skip`
/// ```
///
/// ```compile_fail
/// #[derive(gradus::Tree)]
/// enum Never {} // error: an enum without variants cannot be a tree
/// ```
#[cfg(doctest)]
struct Refused;

impl Tree for Tensor {
    fn visit(&self, path: &mut TreePath, f: &mut dyn FnMut(&TreePath, &Tensor)) {
        f(path, self);
    }
    fn map(&self, f: &mut dyn FnMut(&Tensor) -> Tensor) -> Self {
        f(self)
    }
    fn structure(&self, _: &mut Structure<'_>) {}
}

macro_rules! statics {
    ($($t:ty => $part:expr),+ $(,)?) => { $(
        impl Tree for $t {
            fn visit(&self, _: &mut TreePath, _: &mut dyn FnMut(&TreePath, &Tensor)) {}
            fn map(&self, _: &mut dyn FnMut(&Tensor) -> Tensor) -> Self { self.clone() }
            fn structure(&self, structure: &mut Structure<'_>) {
                let tell: fn(&$t, &mut Structure<'_>) = $part;
                tell(self, structure);
            }
        }
        impl Static for $t {}
    )+ };
}
macro_rules! by_value {
    ($($t:ty),+ $(,)?) => { statics! { $($t => |x, structure| structure.part(x)),+ } };
}
by_value! {
    (), bool, char, String, &'static str, u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, DType, Shape,
    Stencil, Device, Strategy,
}
statics! {
    f32 => |x, structure| structure.shown(&Bits(*x), |x| format!("{:?}", x.0)),
    f64 => |x, structure| structure.shown(&Bits(*x), |x| format!("{:?}", x.0)),
    F16 => |x, structure| structure.shown(&x.0, |bits| format!("{:?}", F16(*bits).to_f32())),
    Bf16 => |x, structure| structure.shown(&x.0, |bits| format!("{:?}", Bf16(*bits).to_f32())),
    Number => |x, structure| match x {
        Number::Float(x) => structure.shown(&Bits(*x), |x| format!("{:?}", x.0)),
        Number::Int(x) => structure.part(x),
        Number::Bool(x) => structure.part(x),
    },
}

impl<A: 'static, B: 'static> Tree for fn(&A) -> B {
    fn visit(&self, _: &mut TreePath, _: &mut dyn FnMut(&TreePath, &Tensor)) {}
    fn map(&self, _: &mut dyn FnMut(&Tensor) -> Tensor) -> Self {
        *self
    }
    fn structure(&self, structure: &mut Structure<'_>) {
        structure.shown(self, |f| format!("the function at {:?}", *f as *const ()));
    }
}
impl<A: 'static, B: 'static> Static for fn(&A) -> B {}
impl<T> Static for PhantomData<T> {}
impl<T: Static> Static for Option<T> {}
impl<T: Static> Static for Box<T> {}
impl<T: Static> Static for Vec<T> {}
impl<T: Static, const N: usize> Static for [T; N] {}
impl<K: MapKey, T: Static> Static for BTreeMap<K, T> {}
impl<K: MapKey, T: Static> Static for HashMap<K, T> {}

/// What a map of trees has for keys.
pub trait MapKey: Ord + Clone + Hash + fmt::Display + fmt::Debug + Send + Sync + 'static {}
impl<K: Ord + Clone + Hash + fmt::Display + fmt::Debug + Send + Sync + 'static> MapKey for K {}

impl<T> Tree for PhantomData<T> {
    fn visit(&self, _: &mut TreePath, _: &mut dyn FnMut(&TreePath, &Tensor)) {}
    fn map(&self, _: &mut dyn FnMut(&Tensor) -> Tensor) -> Self {
        PhantomData
    }
    fn structure(&self, _: &mut Structure<'_>) {}
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
    fn structure(&self, structure: &mut Structure<'_>) {
        structure.variant(if self.is_some() { "Some" } else { "None" });
        if let Some(inner) = self {
            inner.structure(structure);
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
    fn structure(&self, structure: &mut Structure<'_>) {
        (**self).structure(structure);
    }
}

fn visit_all<T: Tree>(items: &[T], path: &mut TreePath, f: &mut dyn FnMut(&TreePath, &Tensor)) {
    for (i, item) in items.iter().enumerate() {
        path.within(i, |path| item.visit(path, f));
    }
}

fn structure_all<T: Tree>(items: &[T], structure: &mut Structure<'_>) {
    for (i, item) in items.iter().enumerate() {
        structure.within(i, |structure| item.structure(structure));
    }
}

impl<T: Tree> Tree for Vec<T> {
    fn visit(&self, path: &mut TreePath, f: &mut dyn FnMut(&TreePath, &Tensor)) {
        visit_all(self, path, f);
    }
    fn map(&self, f: &mut dyn FnMut(&Tensor) -> Tensor) -> Self {
        self.iter().map(|item| item.map(f)).collect()
    }
    fn structure(&self, structure: &mut Structure<'_>) {
        structure.shown(&self.len(), |n| format!("of {n} items"));
        structure_all(self, structure);
    }
}

impl<T: Tree, const N: usize> Tree for [T; N] {
    fn visit(&self, path: &mut TreePath, f: &mut dyn FnMut(&TreePath, &Tensor)) {
        visit_all(self, path, f);
    }
    fn map(&self, f: &mut dyn FnMut(&Tensor) -> Tensor) -> Self {
        self.each_ref().map(|item| item.map(f))
    }
    fn structure(&self, structure: &mut Structure<'_>) {
        structure_all(self, structure);
    }
}

impl<K: MapKey, T: Tree> Tree for BTreeMap<K, T> {
    fn visit(&self, path: &mut TreePath, f: &mut dyn FnMut(&TreePath, &Tensor)) {
        for (key, item) in self {
            path.within(key, |path| item.visit(path, f));
        }
    }
    fn map(&self, f: &mut dyn FnMut(&Tensor) -> Tensor) -> Self {
        self.iter().map(|(key, item)| (key.clone(), item.map(f))).collect()
    }
    fn structure(&self, structure: &mut Structure<'_>) {
        structure.shown(&self.len(), |n| format!("of {n} entries"));
        for (key, item) in self {
            structure.part(key);
            structure.within(key, |structure| item.structure(structure));
        }
    }
}

impl<K: MapKey, T: Tree> Tree for HashMap<K, T> {
    /// In the order of the keys, so that the order is the same in every run.
    fn visit(&self, path: &mut TreePath, f: &mut dyn FnMut(&TreePath, &Tensor)) {
        for key in sorted(self) {
            path.within(key, |path| self[key].visit(path, f));
        }
    }
    fn map(&self, f: &mut dyn FnMut(&Tensor) -> Tensor) -> Self {
        sorted(self).into_iter().map(|key| (key.clone(), self[key].map(f))).collect()
    }
    fn structure(&self, structure: &mut Structure<'_>) {
        structure.shown(&self.len(), |n| format!("of {n} entries"));
        for key in sorted(self) {
            structure.part(key);
            structure.within(key, |structure| self[key].structure(structure));
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
            fn structure(&self, structure: &mut Structure<'_>) {
                $( structure.within($i, |structure| self.$i.structure(structure)); )+
            }
        }
        impl<$($name: Static),+> Static for ($($name,)+) {}
    )+ };
}
/// Calls a macro with the type parameters and places of the tuples that are trees.
macro_rules! for_tuples {
    ($macro:ident) => {
        $macro! {
            A 0;
            A 0, B 1;
            A 0, B 1, C 2;
            A 0, B 1, C 2, D 3;
            A 0, B 1, C 2, D 3, E 4;
            A 0, B 1, C 2, D 3, E 4, G 5;
            A 0, B 1, C 2, D 3, E 4, G 5, H 6;
            A 0, B 1, C 2, D 3, E 4, G 5, H 6, I 7;
        }
    };
}
pub(crate) use for_tuples;
for_tuples!(tuples);
