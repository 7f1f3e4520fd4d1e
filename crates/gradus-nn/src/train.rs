//! The training loop.
//!
//! One step (augmentation, forward, backward, update) is one compiled program: parameters, the optimiser's state, the
//! batch, the learning rate and the random key are its arguments, so it is planned once.

use std::ops::ControlFlow;
use std::time::Instant;

use gradus::{Key, Tensor, jit, value_and_grad_aux};

use crate::data::{Split, shifted};
use crate::model::global_norm;
use crate::{Adam, Error, Model, Optimizer, Result, Schedule, State, accuracy, loss};

/// How to train.
#[derive(Clone, Debug)]
pub struct Training<O> {
    /// Times that all examples are seen.
    pub epochs: usize,
    /// Examples in a step.
    pub batch: usize,
    /// The rule that improves the parameters.
    pub optimizer: O,
    /// The learning rate.
    pub schedule: Schedule,
    /// Random shifts of the images in pixels: see [`shifted`].
    pub shifts: f64,
    /// Label smoothing: see [`smooth_cross_entropy`](loss::smooth_cross_entropy).
    pub smoothing: f64,
    /// Order of the examples, shifts and dropout are drawn from this.
    pub key: Key,
}

/// Ten epochs of [`Adam`] at a rate of 0.001, 64 examples in a step, no shifts, no smoothing.
impl Default for Training<Adam> {
    fn default() -> Self {
        Training {
            epochs: 10,
            batch: 64,
            optimizer: Adam::default(),
            schedule: Schedule::Constant(1e-3),
            shifts: 0.0,
            smoothing: 0.0,
            key: Key::new(0),
        }
    }
}

/// What has happened in one epoch.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Epoch {
    /// Counted from 1.
    pub epoch: usize,
    /// Mean loss of the steps, with augmentation.
    pub train_loss: f64,
    /// Share of right predictions in the steps, with augmentation.
    pub train_accuracy: f64,
    /// Mean loss of the held-out examples.
    pub test_loss: f64,
    /// Share of right predictions among the held-out examples.
    pub test_accuracy: f64,
    /// Mean norm of the gradient.
    pub gradient_norm: f64,
    /// Examples trained on in a second.
    pub examples_per_second: f64,
    /// The last learning rate.
    pub rate: f64,
}

/// What the loop tells its caller.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A step is done.
    Step {
        /// Steps done.
        step: usize,
        /// Steps there will be.
        steps: usize,
        /// Loss of its batch.
        loss: f64,
    },
    /// An epoch is done.
    Epoch(&'a Epoch),
}

/// A trained model and how it came about.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome<M> {
    /// The parameters after the last step.
    pub model: M,
    /// One entry an epoch.
    pub history: Vec<Epoch>,
    /// Programs that were compiled for the training step.
    pub programs: usize,
    /// Bytes of a step that its forward pass keeps for its backward pass.
    pub saved_bytes: usize,
    /// Bytes that a step needs at most: parameters, optimiser state, batch and all in between.
    pub peak_bytes: usize,
}

/// One step's arguments.
type StepInput<M> = (M, State<M>, Batch, Tensor, Key);
/// Images and labels.
type Batch = (Tensor, Tensor);

/// Trains a classifier. `on` hears of every step and epoch, and can end the training with [`ControlFlow::Break`].
///
/// The result depends on the arguments alone: the held-out part is only measured, never used.
///
/// # Errors
/// If there is nothing to train on, or the loss is no longer finite.
///
/// ```
/// use std::ops::ControlFlow;
/// use gradus::Key;
/// use gradus_nn::layers::{Activation, Mlp};
/// use gradus_nn::{Schedule, Training, data, fit};
///
/// let split = data::digits()?.split(&Key::new(0), 0.2);
/// let training = Training { epochs: 2, schedule: Schedule::Constant(1e-2), ..Training::default() };
/// let model = Mlp::new(&Key::new(2), &[64, 16, 10], Activation::Relu);
/// let outcome = fit(model, &split, &training, |_| ControlFlow::Continue(()))?;
/// assert!(outcome.history[1].test_accuracy > 0.7);
/// assert_eq!(outcome.programs, 1);
/// # Ok::<(), gradus_nn::Error>(())
/// ```
pub fn fit<M: Model, O: Optimizer>(
    mut model: M,
    data: &Split,
    training: &Training<O>,
    mut on: impl FnMut(&Event) -> ControlFlow<()>,
) -> Result<Outcome<M>> {
    let per_epoch = data.train.len() / training.batch.max(1);
    if training.batch == 0 || per_epoch == 0 {
        return Err(Error::Invalid(format!(
            "a batch must have between 1 and {} examples (those there are to train on), not {}",
            data.train.len(),
            training.batch
        )));
    }
    let (shifts, smoothing) = (training.shifts, training.smoothing);
    let step = jit(|(model, state, (images, labels), rate, key): &StepInput<M>| {
        let (first, second) = key.split();
        let images = if shifts > 0.0 { shifted(images, &first, shifts) } else { images.clone() };
        let objective = |m: &M| {
            let logits = m.forward(&images, Some(&second));
            (loss::smooth_cross_entropy(&logits, labels, smoothing), accuracy(&logits, labels))
        };
        let ((loss, right), slope) = value_and_grad_aux(objective)(model);
        let (model, state) = training.optimizer.update(model, &slope, state, rate);
        ((model, state), (loss, right, global_norm(&slope)))
    });
    let test = jit(|(model, (images, labels)): &(M, Batch)| {
        let logits = model.forward(images, None);
        (loss::cross_entropy(&logits, labels), accuracy(&logits, labels))
    });

    let steps = per_epoch * training.epochs;
    let mut state = State::new(&training.optimizer, &model);
    let mut history = Vec::new();
    let mut done = 0;
    let (mut saved_bytes, mut peak_bytes) = (0, 0);
    'epochs: for epoch in 1..=training.epochs {
        let start = Instant::now();
        let (mut losses, mut rights, mut norms) = (0.0, 0.0, 0.0);
        let epoch_key = training.key.fold_in(epoch);
        let mut stop = false;
        let mut rate = 0.0;
        for batch in data.train.batches(&epoch_key, training.batch) {
            rate = training.schedule.at(done);
            let key = epoch_key.fold_in(done);
            let input = (model, state, (batch.inputs, batch.labels), Tensor::from(rate as f32), key);
            // A device without plans tells no bytes.
            if done == 0
                && let Ok(plan) = step.try_plan(&input)
            {
                (saved_bytes, peak_bytes) = (plan.saved_bytes(), plan.planned_peak_bytes());
            }
            let ((next, next_state), (loss, right, norm)) = step.call_owned(input);
            (model, state) = (next, next_state);
            let loss = loss.item::<f64>();
            if !loss.is_finite() {
                return Err(Error::Invalid(format!(
                    "the loss became {loss} at step {done}; a smaller learning rate may help"
                )));
            }
            done += 1;
            losses += loss;
            rights += right.item::<f64>();
            norms += norm.item::<f64>();
            stop = on(&Event::Step { step: done, steps, loss }).is_break();
            if stop {
                break;
            }
        }
        let count = (done - (epoch - 1) * per_epoch) as f64;
        let seconds = start.elapsed().as_secs_f64();
        let (test_loss, test_accuracy) = if data.held_out.is_empty() {
            (f64::NAN, f64::NAN)
        } else {
            let held_out = (data.held_out.inputs.clone(), data.held_out.labels.clone());
            let (loss, right) = test.call(&(model.clone(), held_out));
            (loss.item(), right.item())
        };
        history.push(Epoch {
            epoch,
            train_loss: losses / count,
            train_accuracy: rights / count,
            test_loss,
            test_accuracy,
            gradient_norm: norms / count,
            examples_per_second: count * training.batch as f64 / seconds,
            rate,
        });
        if let Some(last) = history.last()
            && (on(&Event::Epoch(last)).is_break() || stop)
        {
            break 'epochs;
        }
    }
    Ok(Outcome { model, history, programs: step.programs(), saved_bytes, peak_bytes })
}
