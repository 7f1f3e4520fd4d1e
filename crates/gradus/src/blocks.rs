//! The derivatives of one tree by another: what takes the place of each tensor of a result.

use std::collections::{BTreeMap, HashMap};

use crate::tree::{MapKey, for_tuples};
use crate::{Tensor, Tree};

/// A tree in which each tensor can be replaced by a tree of another type: the type of a Jacobian.
///
/// The [`jacobian`](crate::jacobian) of a function from trees `A` to trees `B` is `B::Of<A>`: where `B` has a tensor it has an `A`, the
/// derivatives of that tensor by all of the argument. Of a tensor that is `A` itself, of a tuple a tuple, of a list or map one of
/// such. A struct with `#[derive(Tree)]` has fields of its own types; of it there is a `Vec<A>`, in the order of its tensors.
///
/// ```
/// use gradus::{Tensor, jacobian};
/// let f = |(x, y): &(Tensor, Tensor)| (x * y, x.sum(()));
/// let (product, sum) = jacobian(f)(&(Tensor::from([1.0, 2.0]), Tensor::from(3.0)));
/// assert_eq!(product, (Tensor::from([[3.0, 0.0], [0.0, 3.0]]), Tensor::from([1.0, 2.0])));
/// assert_eq!(sum, (Tensor::from([1.0, 1.0]), Tensor::from(0.0)));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the result of a function whose Jacobian is taken",
    note = "tensors, tuples, arrays, `Vec`, `Option`, `Box` and maps of such can, and structs with `#[derive(Tree)]`"
)]
pub trait Blocks: Tree {
    /// This tree with `A`s for its tensors.
    type Of<A: Tree>;
    /// Builds it, asking for an `A` for each tensor in the order of [`visit`](Tree::visit).
    fn blocks<A: Tree>(&self, next: &mut dyn FnMut() -> A) -> Self::Of<A>;
}

impl Blocks for Tensor {
    type Of<A: Tree> = A;
    fn blocks<A: Tree>(&self, next: &mut dyn FnMut() -> A) -> A {
        next()
    }
}

impl<T: Blocks> Blocks for Option<T> {
    type Of<A: Tree> = Option<T::Of<A>>;
    fn blocks<A: Tree>(&self, next: &mut dyn FnMut() -> A) -> Self::Of<A> {
        self.as_ref().map(|inner| inner.blocks(next))
    }
}

impl<T: Blocks> Blocks for Box<T> {
    type Of<A: Tree> = T::Of<A>;
    fn blocks<A: Tree>(&self, next: &mut dyn FnMut() -> A) -> Self::Of<A> {
        (**self).blocks(next)
    }
}

impl<T: Blocks> Blocks for Vec<T> {
    type Of<A: Tree> = Vec<T::Of<A>>;
    fn blocks<A: Tree>(&self, next: &mut dyn FnMut() -> A) -> Self::Of<A> {
        self.iter().map(|item| item.blocks(next)).collect()
    }
}

impl<T: Blocks, const N: usize> Blocks for [T; N] {
    type Of<A: Tree> = [T::Of<A>; N];
    fn blocks<A: Tree>(&self, next: &mut dyn FnMut() -> A) -> Self::Of<A> {
        self.each_ref().map(|item| item.blocks(next))
    }
}

impl<K: MapKey, T: Blocks> Blocks for BTreeMap<K, T> {
    type Of<A: Tree> = BTreeMap<K, T::Of<A>>;
    fn blocks<A: Tree>(&self, next: &mut dyn FnMut() -> A) -> Self::Of<A> {
        self.iter().map(|(key, item)| (key.clone(), item.blocks(next))).collect()
    }
}

impl<K: MapKey, T: Blocks> Blocks for HashMap<K, T> {
    type Of<A: Tree> = HashMap<K, T::Of<A>>;
    fn blocks<A: Tree>(&self, next: &mut dyn FnMut() -> A) -> Self::Of<A> {
        let mut keys: Vec<&K> = self.keys().collect();
        keys.sort();
        keys.into_iter().map(|key| (key.clone(), self[key].blocks(next))).collect()
    }
}

macro_rules! tuples {
    ($($($name:ident $i:tt),+;)+) => { $(
        impl<$($name: Blocks),+> Blocks for ($($name,)+) {
            type Of<Argument: Tree> = ($($name::Of<Argument>,)+);
            fn blocks<Argument: Tree>(&self, next: &mut dyn FnMut() -> Argument) -> Self::Of<Argument> {
                ($( self.$i.blocks(next), )+)
            }
        }
    )+ };
}
for_tuples!(tuples);
