//! The registry: names, sizes, and the step of training.

use gradus::{Key, Tensor, Tree, value_and_grad, value_and_grad_aux};

use super::{Batch, Design, Network};
use crate::layers::{Activation, Formula};
use crate::{Adam, Error, Optimizer, Result, Sgd, State};

/// The optimiser of a named model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Stochastic gradient descent, with or without momentum.
    Sgd(Sgd),
    /// Adam.
    Adam(Adam),
}

impl Optimizer for Rule {
    fn moments(&self) -> usize {
        match self {
            Rule::Sgd(rule) => rule.moments(),
            Rule::Adam(rule) => rule.moments(),
        }
    }

    fn step(&self, p: &Tensor, g: &Tensor, moments: &mut [Tensor], steps: &Tensor, rate: &Tensor) -> Tensor {
        match self {
            Rule::Sgd(rule) => rule.step(p, g, moments, steps, rate),
            Rule::Adam(rule) => rule.step(p, g, moments, steps, rate),
        }
    }
}

/// What one step of training takes and gives back: parameters and the optimiser's state.
#[derive(Clone, Debug, Tree)]
pub struct Progress {
    /// The parameters.
    pub network: Network,
    /// What the optimiser remembers.
    pub state: State<Network>,
}

/// A model of the registry.
///
/// ```
/// use gradus::{Key, jit};
/// use gradus_nn::models::Named;
///
/// let model = Named::find("deep-mish")?.small();
/// let batch = model.batch(&Key::new(1), model.batch);
/// let step = jit(model.step()).donate();
/// let mut progress = model.start(&Key::new(0));
/// let mut losses = Vec::new();
/// for _ in 0..20 {
///     let (next, loss) = step.call_owned((progress, batch.clone())); // parameters are updated in place
///     progress = next;
///     losses.push(loss.item::<f32>());
/// }
/// assert!(losses[19] < losses[0]);
/// # Ok::<(), gradus_nn::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// The name it is found by.
    pub name: &'static str,
    /// One letter by which the benchmarks know some of them.
    pub letter: Option<char>,
    /// What it is, in a line.
    pub description: &'static str,
    /// Kind and sizes of the network.
    pub design: Design,
    /// Examples in a step.
    pub batch: usize,
    /// The optimiser.
    pub rule: Rule,
    /// The learning rate.
    pub rate: f64,
}

const PLAIN: Sgd = Sgd { momentum: 0.0, nesterov: false, decay: 0.0 };
const MOMENTUM: Sgd = Sgd { momentum: 0.9, nesterov: false, decay: 0.0 };
const ADAM: Adam = Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0.0 };

impl Named {
    /// All models, in the order in which they are listed.
    pub fn all() -> Vec<Named> {
        let mlp = |widths: &[usize], activation| Design::Mlp { widths: widths.to_vec(), activation };
        let deep = |activation| mlp(&[&[784], [1024; 16].as_slice(), &[10]].concat(), activation);
        let sgd = |name, letter, description, design, batch| Named {
            name,
            letter,
            description,
            design,
            batch,
            rule: Rule::Sgd(PLAIN),
            rate: 0.01,
        };
        vec![
            sgd(
                "mlp-gelu",
                Some('a'),
                "MLP 784-512-512-10 with GELU (erf), batch 128, SGD",
                mlp(&[784, 512, 512, 10], Activation::Gelu),
                128,
            ),
            sgd(
                "mlp-mish",
                Some('b'),
                "MLP 784-512-512-10 with Mish as x tanh(softplus(x)), batch 1,024, SGD",
                mlp(&[784, 512, 512, 10], Activation::Mish),
                1024,
            ),
            Named {
                rule: Rule::Adam(ADAM),
                rate: 1e-3,
                ..sgd(
                    "gpt-small",
                    Some('c'),
                    "GPT of 4 layers, 256 features, 4 heads, context 128, vocabulary 65, batch 16, Adam",
                    Design::Gpt { layers: 4, width: 256, heads: 4, context: 128, vocabulary: 65 },
                    16,
                )
            },
            sgd(
                "cnn",
                Some('d'),
                "CNN for 28x28: two 5x5 convolutions of 32 and 64 channels, 3136-128-10, batch 128, SGD",
                Design::Lenet { side: 28, channels: [32, 64], hidden: 128 },
                128,
            ),
            Named {
                rule: Rule::Sgd(MOMENTUM),
                ..sgd(
                    "resnet18",
                    Some('e'),
                    "ResNet-18 for 32x32 with batch norm, batch 32, SGD with momentum",
                    Design::ResNet { side: 32, channels: [64, 128, 256, 512] },
                    32,
                )
            },
            sgd(
                "deep-mish",
                None,
                "MLP 784-1024x16-10 with Mish as x tanh(softplus(x)), batch 4,096, SGD",
                deep(Activation::Formula(Formula::Mish)),
                4096,
            ),
            sgd(
                "deep-gelu-tanh",
                None,
                "MLP 784-1024x16-10 with GELU by tanh, batch 4,096, SGD",
                deep(Activation::Formula(Formula::GeluTanh)),
                4096,
            ),
            sgd(
                "conv-silu",
                None,
                "depthwise-separable convolutions with SiLU in four stages for 32x32, batch 64, SGD",
                Design::Separable { side: 32, channels: vec![32, 64, 128, 256] },
                64,
            ),
            sgd(
                "mlp-relu",
                None,
                "MLP 784-1024x4-10 with ReLU, batch 1,024, SGD",
                mlp(&[784, 1024, 1024, 1024, 1024, 10], Activation::Relu),
                1024,
            ),
        ]
    }

    /// The model of a name, or of a letter.
    ///
    /// # Errors
    /// If there is none; the error lists the names.
    ///
    /// ```
    /// use gradus_nn::models::Named;
    /// assert_eq!(Named::find("c")?.name, "gpt-small");
    /// let error = Named::find("gpt-large").unwrap_err().to_string();
    /// assert!(error.contains("gpt-small") && error.contains("deep-mish"));
    /// # Ok::<(), gradus_nn::Error>(())
    /// ```
    pub fn find(name: &str) -> Result<Named> {
        let mut all = Named::all();
        let is_it = |m: &Named| m.name == name || m.letter.is_some_and(|l| name == l.to_string());
        match all.iter().position(is_it) {
            Some(i) => Ok(all.swap_remove(i)),
            None => {
                let told = |m: &Named| m.letter.map_or(m.name.into(), |l| format!("{} ({l})", m.name));
                let names: Vec<String> = all.iter().map(told).collect();
                Err(Error::Invalid(format!("no model is named \"{name}\"; there are {}", names.join(", "))))
            }
        }
    }

    /// The same model at a size for tests: every part is there, nothing takes time.
    pub fn small(&self) -> Named {
        let design = match &self.design {
            Design::Mlp { widths, activation } => {
                let hidden = widths.len().saturating_sub(2).min(4);
                let widths = [&[12], &[16; 4][..hidden], &[10]].concat();
                Design::Mlp { widths, activation: *activation }
            }
            Design::Gpt { .. } => Design::Gpt { layers: 2, width: 16, heads: 2, context: 6, vocabulary: 11 },
            Design::Lenet { .. } => Design::Lenet { side: 8, channels: [3, 4], hidden: 12 },
            Design::ResNet { .. } => Design::ResNet { side: 8, channels: [4, 6, 8, 8] },
            Design::Separable { .. } => Design::Separable { side: 8, channels: vec![4, 6] },
        };
        Named { design, batch: 8, ..self.clone() }
    }

    /// The same model with softplus written out of simpler primitives where it is one now.
    pub fn written_out(&self) -> Named {
        let mut model = self.clone();
        if let Design::Mlp { activation, .. } = &mut model.design
            && matches!(activation, Activation::Mish | Activation::Formula(Formula::Mish))
        {
            *activation = Activation::Formula(Formula::MishWrittenOut);
        }
        model
    }

    /// How many parameters it has.
    pub fn parameters(&self) -> usize {
        self.design.parameters()
    }

    /// The scope of a layer in the middle, as a plan names it.
    pub fn layer(&self) -> String {
        match &self.design {
            Design::Mlp { widths, .. } => format!("layers.{}", widths.len().saturating_sub(1) / 2),
            Design::Gpt { layers, .. } => format!("blocks.{}", layers / 2),
            Design::Lenet { .. } => "convolutions.1".into(),
            Design::ResNet { .. } => "blocks.3".into(),
            Design::Separable { channels, .. } => format!("stages.{}.1", channels.len() / 2),
        }
    }

    /// First parameters, drawn from a key.
    pub fn init(&self, key: &Key) -> Network {
        self.design.init(key)
    }

    /// `n` examples with random labels, drawn from a key: the same for the same key.
    pub fn batch(&self, key: &Key, n: usize) -> Batch {
        self.design.batch(key, n)
    }

    /// First parameters and the state of the optimiser before its first step.
    pub fn start(&self, key: &Key) -> Progress {
        self.resume(self.init(key))
    }

    /// Training that begins at given parameters.
    pub fn resume(&self, network: Network) -> Progress {
        Progress { state: State::new(&self.rule, &network), network }
    }

    /// One step of training: the loss of the batch, its gradient, and the update.
    ///
    /// It is one function for [`jit`](gradus::jit); called by `call_owned` with parameters that nobody else holds, they
    /// and the optimiser's state are updated in place.
    pub fn step(&self) -> impl Fn(&(Progress, Batch)) -> (Progress, Tensor) + Clone + use<> {
        let (rule, rate) = (self.rule, Tensor::from(self.rate));
        move |(progress, batch): &(Progress, Batch)| {
            let Progress { network, state } = progress;
            let ((loss, moved), slope) = value_and_grad_aux(|n: &Network| n.train(batch))(network);
            let (network, state) = rule.update(network, &slope, state, &rate);
            (Progress { network: network.with_statistics(moved), state }, loss)
        }
    }

    /// The loss of a batch and its gradient, for checks.
    pub fn loss_and_grads(&self) -> impl Fn(&(Network, Batch)) -> (Tensor, Network) + Clone + use<> {
        |(network, batch): &(Network, Batch)| value_and_grad(|n: &Network| n.loss(batch))(network)
    }
}
