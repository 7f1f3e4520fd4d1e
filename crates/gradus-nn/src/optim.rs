//! Optimisers: from parameters and their gradient to better parameters.
//!
//! An optimiser states its update for one tensor ([`Optimizer::step`]); trees, states and counts are handled once, in
//! [`Optimizer::update`]. The learning rate is a tensor, so that a compiled step takes a new one at each call.

use gradus::{DType, Tensor, Tree, scope};

use crate::model::global_norm;

/// What an optimiser remembers: how many steps were made, and its moments, each a tree like the parameters.
#[derive(Clone, Debug, Tree)]
pub struct State<P> {
    /// Steps made, an `i64` scalar.
    pub steps: Tensor,
    /// Running averages, as many as the optimiser keeps.
    pub moments: Vec<P>,
}

impl<P: Tree> State<P> {
    /// The state before the first step.
    pub fn new(optimizer: &impl Optimizer, parameters: &P) -> Self {
        let zeros = || parameters.map(&mut |t| Tensor::zeros(t.shape(), t.dtype().wide()));
        State { steps: Tensor::from(0i64), moments: (0..optimizer.moments()).map(|_| zeros()).collect() }
    }
}

/// A rule that improves parameters by their gradient.
pub trait Optimizer {
    /// How many running averages it keeps for each parameter.
    fn moments(&self) -> usize;

    /// One tensor's update. `moments` has [`moments`](Optimizer::moments) tensors and is overwritten with the new
    /// ones; `steps` counts this step too, in the dtype of the parameter.
    fn step(
        &self,
        parameter: &Tensor,
        gradient: &Tensor,
        moments: &mut [Tensor],
        steps: &Tensor,
        rate: &Tensor,
    ) -> Tensor;

    /// The update of a whole tree. Tensors that are not floats stay as they are. Those of a 16-bit type are updated in
    /// `f32`, with moments in `f32`, and rounded back; an update below half a unit in the last place is then lost, so that
    /// training goes further with parameters in `f32` that the loss casts.
    #[track_caller]
    fn update<P: Tree>(
        &self,
        parameters: &P,
        gradients: &P,
        state: &State<P>,
        rate: &Tensor,
    ) -> (P, State<P>) {
        scope("update", || {
            let steps = &state.steps + 1;
            let (mut gradients, mut next) = (gradients.tensors().into_iter(), Vec::new());
            let olds: Vec<Vec<Tensor>> = state.moments.iter().map(Tree::tensors).collect();
            let mut news: Vec<Vec<Tensor>> = vec![Vec::new(); olds.len()];
            for (i, p) in parameters.tensors().iter().enumerate() {
                let g = gradients.next().expect("a gradient has the structure of its parameters");
                let mut moments: Vec<Tensor> = olds.iter().map(|m| m[i].clone()).collect();
                if p.dtype().is_differentiable() {
                    let wide = p.dtype().wide();
                    let [p_wide, g, count, rate] = [p, &g, &steps, rate].map(|t| t.cast(wide));
                    let kept: Vec<DType> = moments.iter().map(Tensor::dtype).collect();
                    moments.iter_mut().for_each(|m| *m = m.cast(wide));
                    next.push(self.step(&p_wide, &g, &mut moments, &count, &rate).cast(p.dtype()));
                    moments.iter_mut().zip(kept).for_each(|(m, dtype)| *m = m.cast(dtype));
                } else {
                    next.push(p.clone());
                }
                news.iter_mut().zip(moments).for_each(|(all, m)| all.push(m));
            }
            let moments = state.moments.iter().zip(news).map(|(tree, new)| tree.with_tensors(new)).collect();
            (parameters.with_tensors(next), State { steps, moments })
        })
    }
}

/// Weight decay acts on matrices and kernels; biases and the scales of normalisations have one axis and are left alone.
fn decays(parameter: &Tensor, decay: f64) -> bool {
    decay != 0.0 && parameter.rank() > 1
}

/// Stochastic gradient descent, with momentum if `momentum > 0`:
/// `m ← momentum · m + g`, `p ← p - rate (m + decay · p)`, or with Nesterov's look-ahead `p ← p - rate (g + momentum · m)`.
///
/// ```
/// use gradus::{Tensor, grad};
/// use gradus_nn::{Optimizer, Sgd, State};
/// let sgd = Sgd { momentum: 0.9, ..Sgd::default() };
/// let mut x = Tensor::from([4.0]);
/// let mut state = State::new(&sgd, &x);
/// for _ in 0..200 {
///     let g = grad(|x: &Tensor| x.square().sum(()))(&x);
///     (x, state) = sgd.update(&x, &g, &state, &Tensor::from(0.05));
/// }
/// assert!(x.item::<f64>().abs() < 1e-3);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Tree)]
pub struct Sgd {
    /// The share of the last direction that is kept.
    pub momentum: f64,
    /// Nesterov's variant.
    pub nesterov: bool,
    /// Weight decay, decoupled from the gradient.
    pub decay: f64,
}

impl Optimizer for Sgd {
    fn moments(&self) -> usize {
        usize::from(self.momentum != 0.0)
    }

    fn step(&self, p: &Tensor, g: &Tensor, moments: &mut [Tensor], _: &Tensor, rate: &Tensor) -> Tensor {
        let mut direction = g.clone();
        if let [m] = moments {
            *m = &*m * self.momentum + g;
            direction = if self.nesterov { g + &*m * self.momentum } else { m.clone() };
        }
        if decays(p, self.decay) {
            direction += p * self.decay;
        }
        p - rate * direction
    }
}

/// Adam (Kingma and Ba 2015), with decoupled weight decay if `decay > 0` (AdamW, Loshchilov and Hutter 2019):
/// `m ← β₁ m + (1 - β₁) g`, `v ← β₂ v + (1 - β₂) g²`,
/// `p ← p - rate (m̂ / (√v̂ + ε) + decay · p)` with `m̂ = m / (1 - β₁ᵗ)`, `v̂ = v / (1 - β₂ᵗ)`.
///
/// ```
/// use gradus::{Tensor, grad};
/// use gradus_nn::{Adam, Optimizer, State};
/// let adam = Adam::default();
/// let x = Tensor::from([1.0, -20.0]);
/// let g = grad(|x: &Tensor| x.square().sum(()))(&x);
/// let (x, _) = adam.update(&x, &g, &State::new(&adam, &x), &Tensor::from(0.1));
/// // The first step is the rate long whatever the size of the gradient.
/// assert!((x - Tensor::from([0.9, -19.9])).abs().max(()).item::<f64>() < 1e-7);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Tree)]
pub struct Adam {
    /// How slowly the mean of the gradient forgets.
    pub beta1: f64,
    /// How slowly the mean of its square forgets.
    pub beta2: f64,
    /// Keeps the quotient finite.
    pub epsilon: f64,
    /// Weight decay, decoupled from the gradient.
    pub decay: f64,
}

impl Default for Adam {
    fn default() -> Self {
        Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0.0 }
    }
}

impl Optimizer for Adam {
    fn moments(&self) -> usize {
        2
    }

    fn step(&self, p: &Tensor, g: &Tensor, moments: &mut [Tensor], steps: &Tensor, rate: &Tensor) -> Tensor {
        let [m, v] = moments else { return p.clone() };
        *m = &*m * self.beta1 + g * (1.0 - self.beta1);
        *v = &*v * self.beta2 + g.square() * (1.0 - self.beta2);
        // 1 - βᵗ without cancellation, as scalars.
        let unbias = |beta: f64| -(steps * beta.ln()).expm1();
        let size = rate / unbias(self.beta1);
        let scale = (&*v / unbias(self.beta2)).sqrt() + self.epsilon;
        let moved = p - &*m * size / scale;
        if decays(p, self.decay) { moved - p * (rate * self.decay) } else { moved }
    }
}

/// A gradient made shorter if its [`global_norm`] is above `limit`, and that norm.
///
/// ```
/// use gradus::Tensor;
/// let (g, norm) = gradus_nn::clip_by_norm(&Tensor::from([3.0, 4.0]), 1.0);
/// assert_eq!(norm.item::<f64>(), 5.0);
/// assert!((g - Tensor::from([0.6, 0.8])).norm(()).item::<f64>() < 1e-15);
/// ```
#[track_caller]
pub fn clip_by_norm<P: Tree>(gradients: &P, limit: f64) -> (P, Tensor) {
    let norm = global_norm(gradients);
    // A norm that is no number stays one: a blow-up is not to be hidden.
    let over = norm.greater(limit);
    let factor = over.select(limit / over.select(&norm, 1.0), 1.0);
    let scaled = gradients.map(&mut |t| {
        if !t.dtype().is_differentiable() {
            return t.clone();
        }
        let wide = t.dtype().wide();
        (t.cast(wide) * factor.cast(wide)).cast(t.dtype())
    });
    (scaled, norm)
}

/// A tree with all floats cast to another float type.
///
/// ```
/// use gradus::{DType, Tensor};
/// let x = gradus_nn::optim::cast_floats(&(Tensor::from(1.0), Tensor::from(2i64)), DType::F32);
/// assert_eq!((x.0.dtype(), x.1.dtype()), (DType::F32, DType::I64));
/// ```
#[track_caller]
pub fn cast_floats<P: Tree>(tree: &P, dtype: DType) -> P {
    tree.map(&mut |t| if t.dtype().is_differentiable() { t.cast(dtype) } else { t.clone() })
}
