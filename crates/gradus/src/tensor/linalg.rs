//! Products of tensors.

use gradus_core::ops::{Dot, Permute};
use gradus_core::{Error, ErrorKind, Shape};

use crate::Tensor;
use crate::tensor::arith::broadcast_at;
use crate::trace::{OrFail, fail, here};

#[track_caller]
fn shapes(op: &'static str, x: &Tensor, y: &Tensor, detail: String) -> ! {
    let shapes = vec![x.shape().clone(), y.shape().clone()];
    fail(Error::new(ErrorKind::Shape { op, shapes, detail }, here()))
}

impl Tensor {
    /// The matrix product over the last axis of `self` and the second-last of `rhs` (the last, if `rhs` has one axis);
    /// axes before those are batch axes and broadcast, as in NumPy.
    ///
    /// ```
    /// # use gradus::Tensor;
    /// let a = Tensor::from([[1.0, 2.0], [3.0, 4.0]]);
    /// assert_eq!(a.matmul(&a.t()), Tensor::from([[5.0, 11.0], [11.0, 25.0]]));
    /// assert_eq!(a.matmul(&Tensor::from([1.0, 1.0])), Tensor::from([3.0, 7.0]));
    /// ```
    #[track_caller]
    pub fn matmul(&self, rhs: &Tensor) -> Tensor {
        let (x, y) = (self, rhs);
        if x.rank() == 0 || y.rank() == 0 {
            shapes("matmul", x, y, "a scalar has no axis to sum over; use `*`".into());
        }
        let (k, l) = (x.shape()[x.rank() - 1], y.shape()[y.rank().saturating_sub(2)]);
        if k != l {
            let detail = format!(
                "the last axis of the left ({k}) must equal the {} axis of the right ({l}); transpose one with `.t()`?",
                if y.rank() == 1 { "only" } else { "second-last" }
            );
            shapes("matmul", x, y, detail);
        }
        // Without batch axes on one side the product is a plain contraction of the other's last axis.
        if x.rank() <= 2 && y.rank() <= 2 || y.rank() <= 2 {
            let contract = y.rank().saturating_sub(2);
            let dot = Dot {
                lhs_batch: Default::default(),
                rhs_batch: Default::default(),
                lhs_contract: [x.rank() - 1].into_iter().collect(),
                rhs_contract: [contract].into_iter().collect(),
                tangents: [false; 2],
                numbers: false,
            };
            return Tensor::apply(dot, &[x, y]);
        }
        let site = here();
        let vector = x.rank() == 1;
        let x = if vector { x.expand_dims(0) } else { x.clone() };
        let batch = |t: &Tensor| Shape::from(&t.shape()[..t.rank() - 2]);
        let Some(common) = batch(&x).broadcast(&batch(y)) else {
            shapes("matmul", &x, y, "batch axes (all but the last two) cannot be broadcast together".into())
        };
        let stretch = |t: &Tensor| {
            let shape = common.concat(&t.shape()[t.rank() - 2..]);
            broadcast_at(t, &shape, &site).or_fail()
        };
        let out = Tensor::apply(Dot::matmul(common.rank()), &[&stretch(&x), &stretch(y)]);
        if vector { out.squeeze(-2) } else { out }
    }

    /// The sum of products of two vectors.
    #[track_caller]
    pub fn dot(&self, rhs: &Tensor) -> Tensor {
        if self.rank() != 1 || rhs.rank() != 1 {
            shapes("dot", self, rhs, "both must have one axis; use `matmul`, `tensordot` or `einsum`".into());
        }
        self.matmul(rhs)
    }

    /// All products of the elements of two vectors.
    #[track_caller]
    pub fn outer(&self, rhs: &Tensor) -> Tensor {
        self.tensordot(rhs, &[], &[])
    }

    /// Products summed over pairs of axes: `axes[i]` of `self` with `rhs_axes[i]` of `rhs`. The result has the other
    /// axes of `self`, then those of `rhs`.
    #[track_caller]
    pub fn tensordot(&self, rhs: &Tensor, axes: &[isize], rhs_axes: &[isize]) -> Tensor {
        let dot = Dot {
            lhs_batch: Default::default(),
            rhs_batch: Default::default(),
            lhs_contract: axes.iter().map(|&a| self.axis("tensordot", a)).collect(),
            rhs_contract: rhs_axes.iter().map(|&a| rhs.axis("tensordot", a)).collect(),
            tangents: [false; 2],
            numbers: false,
        };
        Tensor::apply(dot, &[self, rhs])
    }

    /// Einstein summation: `einsum("bij,bjk->bik", &[&a, &b])`. Without `->` the result has the letters that occur
    /// once, in alphabetical order; a letter twice in one operand takes the diagonal. `...` stands for all axes that have no
    /// letter, matched from the last and broadcast; without `->` the result has them first.
    ///
    /// ```
    /// # use gradus::Tensor;
    /// let a = Tensor::from([[1.0, 2.0], [3.0, 4.0]]);
    /// assert_eq!(Tensor::einsum("ii", &[&a]), Tensor::from(5.0));
    /// assert_eq!(Tensor::einsum("ij,kj->ik", &[&a, &a]), a.matmul(&a.t()));
    /// let batch = Tensor::stack(&[&a, &a], 0);
    /// assert_eq!(Tensor::einsum("...ij,...jk->...ik", &[&batch, &a]), batch.matmul(&a));
    /// ```
    #[track_caller]
    pub fn einsum(spec: &str, operands: &[&Tensor]) -> Tensor {
        // A closure has no caller's line.
        let site = here();
        let wrong = |detail: String| -> ! {
            let detail = format!("\"{spec}\": {detail}");
            fail(Error::new(ErrorKind::Argument { op: "einsum", detail }, site.clone()))
        };
        let clean: String = spec.chars().filter(|c| !c.is_whitespace()).collect();
        let (inputs, output) = match clean.split_once("->") {
            Some((i, o)) => (i.to_string(), Some(o.to_string())),
            None => (clean.clone(), None),
        };
        let terms: Vec<&str> = inputs.split(',').collect();
        if terms.len() != operands.len() {
            wrong(format!("{} terms for {} tensors", terms.len(), operands.len()));
        }
        if let Some(c) = clean.replace("...", "").chars().find(|c| !c.is_alphabetic() && !",->".contains(*c))
        {
            wrong(format!("'{c}' is no letter"));
        }
        let spread = |term: &str, rank| spread(term, rank).unwrap_or_else(|detail| wrong(detail));
        let mut operands: Vec<Tensor> = operands.iter().map(|&x| x.clone()).collect();
        let mut terms: Vec<Vec<char>> =
            terms.iter().zip(&operands).map(|(term, x)| spread(term, x.rank())).collect();
        let mut extents = std::collections::BTreeMap::new();
        for (term, x) in terms.iter().zip(&operands) {
            if term.len() != x.rank() {
                wrong(format!("{} letters for a tensor of shape {}", term.len(), x.shape()));
            }
            for (&c, &d) in term.iter().zip(x.shape().iter()) {
                let found = extents.entry(c).or_insert(d);
                if unlettered(c) && *found == 1 {
                    *found = d;
                } else if *found != d && !(unlettered(c) && d == 1) {
                    let name = if unlettered(c) { "an axis of `...`".into() } else { format!("'{c}'") };
                    wrong(format!("{name} is {found} in one place and {d} in another"));
                }
            }
        }
        // Where an axis of `...` is stretched, the operand does without.
        for (term, x) in terms.iter_mut().zip(&mut operands) {
            for axis in (0..term.len()).rev() {
                if x.shape()[axis] != extents[&term[axis]] {
                    *x = x.squeeze(axis as isize);
                    term.remove(axis);
                }
            }
        }
        let count = |c: char| terms.iter().flatten().filter(|&&x| x == c).count();
        let dots: Vec<char> = extents.keys().rev().copied().filter(|&c| unlettered(c)).collect();
        let output: Vec<char> = match output {
            Some(o) => spread(&o, dots.len() + o.replace("...", "").chars().count()),
            None => {
                let once = extents.keys().copied().filter(|&c| !unlettered(c) && count(c) == 1);
                dots.iter().copied().chain(once).collect()
            }
        };
        if dots.iter().any(|c| !output.contains(c)) {
            wrong("the result lacks `...`; an axis that is summed has a letter".into());
        }
        for (i, c) in output.iter().enumerate() {
            if !extents.contains_key(c) || output[..i].contains(c) {
                wrong(format!("'{c}' of the result must occur once there and in an operand"));
            }
        }
        let mut done: Option<(Tensor, Vec<char>)> = None;
        for (i, (term, x)) in terms.iter().zip(operands).enumerate() {
            let (mut x, mut letters) = diagonal(x, term.clone());
            // Letters that no later operand and not the result needs are summed at once.
            let needed = |c: &char| output.contains(c) || terms[i + 1..].iter().flatten().any(|d| d == c);
            let partner = done.as_ref().map(|d| d.1.clone()).unwrap_or_default();
            let alone: Vec<usize> = (0..letters.len())
                .filter(|&a| !needed(&letters[a]) && !partner.contains(&letters[a]))
                .collect();
            if !alone.is_empty() {
                x = x.sum(alone.as_slice());
                letters = (0..letters.len()).filter(|a| !alone.contains(a)).map(|a| letters[a]).collect();
            }
            done = Some(match done {
                None => (x, letters),
                Some((acc, left)) => contract(&acc, &left, &x, &letters, needed),
            });
        }
        let (x, letters) = done.unwrap_or_else(|| wrong("needs at least one tensor".into()));
        let axes: gradus_core::ops::Axes = output
            .iter()
            .map(|c| letters.iter().position(|l| l == c).expect("letters of the result are kept"))
            .collect();
        if axes.iter().copied().eq(0..axes.len()) { x } else { Tensor::apply(Permute { axes }, &[&x]) }
    }
}

/// The letters of a term for a tensor of `rank` axes; those of `...` get characters that are no letters, numbered from the last.
fn spread(term: &str, rank: usize) -> std::result::Result<Vec<char>, String> {
    let Some((before, after)) = term.split_once("...") else { return Ok(term.chars().collect()) };
    if after.contains('.') {
        return Err(format!("`...` stands twice in `{term}`"));
    }
    let letters = before.chars().count() + after.chars().count();
    let Some(dots) = rank.checked_sub(letters) else {
        return Err(format!("{letters} letters for a tensor of {rank} axes"));
    };
    let numbered = (0..dots as u32).rev().filter_map(|k| char::from_u32(UNLETTERED + k));
    Ok(before.chars().chain(numbered).chain(after.chars()).collect())
}

/// The first character for axes without letters, of those that Unicode leaves to private use.
const UNLETTERED: u32 = 0xe000;

/// Whether an axis is one of `...`.
fn unlettered(c: char) -> bool {
    ('\u{e000}'..='\u{f8ff}').contains(&c)
}

/// Takes the diagonal along letters that occur twice.
#[track_caller]
fn diagonal(mut x: Tensor, mut letters: Vec<char>) -> (Tensor, Vec<char>) {
    while let Some((i, j)) = (0..letters.len())
        .flat_map(|i| (i + 1..letters.len()).map(move |j| (i, j)))
        .find(|&(i, j)| letters[i] == letters[j])
    {
        let n = x.shape()[i];
        let (row, column) = (
            Tensor::iota(x.shape(), i, gradus_core::DType::I64),
            Tensor::iota(x.shape(), j, gradus_core::DType::I64),
        );
        debug_assert_eq!(n, x.shape()[j]);
        x = row.equal(&column).select(&x, 0).sum(j);
        letters.remove(j);
    }
    (x, letters)
}

/// The product of two terms, summed over shared letters that are no longer needed.
#[track_caller]
fn contract(
    x: &Tensor,
    left: &[char],
    y: &Tensor,
    right: &[char],
    needed: impl Fn(&char) -> bool,
) -> (Tensor, Vec<char>) {
    let at = |letters: &[char], c: &char| letters.iter().position(|l| l == c);
    let shared: Vec<char> = left.iter().filter(|c| right.contains(c)).copied().collect();
    let (batch, summed): (Vec<char>, Vec<char>) = shared.iter().partition(|c| needed(c));
    let places = |letters: &[char], which: &[char]| which.iter().filter_map(|c| at(letters, c)).collect();
    let dot = Dot {
        lhs_batch: places(left, &batch),
        rhs_batch: places(right, &batch),
        lhs_contract: places(left, &summed),
        rhs_contract: places(right, &summed),
        tangents: [false; 2],
        numbers: false,
    };
    let free = |letters: &[char]| letters.iter().filter(|c| !shared.contains(c)).copied().collect::<Vec<_>>();
    let letters = [batch, free(left), free(right)].concat();
    // A letter of the left that nobody needs any more is summed after the product.
    let out = Tensor::apply(dot, &[x, y]);
    let gone: Vec<usize> = (0..letters.len()).filter(|&a| !needed(&letters[a])).collect();
    if gone.is_empty() {
        return (out, letters);
    }
    let kept = (0..letters.len()).filter(|a| !gone.contains(a)).map(|a| letters[a]).collect();
    (out.sum(gone.as_slice()), kept)
}
