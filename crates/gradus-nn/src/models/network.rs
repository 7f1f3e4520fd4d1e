//! The networks of the named models as one type, and the designs they are made from.

use gradus::{Key, Structure, Tensor, Tree, TreePath};

use super::{Batch, Gpt, Lenet, ResNet, Separable, gpt, lenet, resnet, separable};
use crate::layers::{Activation, Mlp};
use crate::{Error, Model, Result, loss};

/// What a network is made from: its kind and its sizes.
#[derive(Clone, Debug, PartialEq)]
pub enum Design {
    /// [`Mlp`].
    Mlp {
        /// Features from the inputs to the classes.
        widths: Vec<usize>,
        /// Between the layers.
        activation: Activation,
    },
    /// [`Gpt`].
    Gpt {
        /// Blocks.
        layers: usize,
        /// Features.
        width: usize,
        /// Heads.
        heads: usize,
        /// Tokens in a text.
        context: usize,
        /// Different tokens.
        vocabulary: usize,
    },
    /// [`Lenet`].
    Lenet {
        /// Height and width of an image.
        side: usize,
        /// Channels after each convolution.
        channels: [usize; 2],
        /// Features of the linear layer between.
        hidden: usize,
    },
    /// [`ResNet`].
    ResNet {
        /// Height and width of an image.
        side: usize,
        /// Channels of each stage.
        channels: [usize; 4],
    },
    /// [`Separable`].
    Separable {
        /// Height and width of an image.
        side: usize,
        /// Channels of each stage.
        channels: Vec<usize>,
    },
}

impl Design {
    /// First parameters, drawn from a key.
    pub fn init(&self, key: &Key) -> Network {
        match self {
            Design::Mlp { widths, activation } => Network::Mlp(Mlp::new(key, widths, *activation)),
            Design::Gpt { layers, width, heads, context, vocabulary } => {
                Network::Gpt(Gpt::new(key, *layers, *width, *heads, *context, *vocabulary))
            }
            Design::Lenet { side, channels, hidden } => {
                Network::Lenet(Lenet::new(key, *side, *channels, *hidden))
            }
            Design::ResNet { channels, .. } => Network::ResNet(ResNet::new(key, *channels)),
            Design::Separable { channels, .. } => Network::Separable(Separable::new(key, channels)),
        }
    }

    /// `n` examples with random labels, drawn from a key.
    pub fn batch(&self, key: &Key, n: usize) -> Batch {
        match self {
            Design::Mlp { widths, .. } => {
                let classes = widths.last().copied().unwrap_or(1);
                Batch::normal(key, n, &widths[..widths.len().min(1)], classes)
            }
            Design::Gpt { context, vocabulary, .. } => {
                let (inputs, labels) = gpt::texts(key, n, *context, *vocabulary);
                Batch { inputs, labels }
            }
            Design::Lenet { side, .. } => Batch::normal(key, n, &[1, *side, *side], 10),
            Design::ResNet { side, .. } | Design::Separable { side, .. } => {
                Batch::normal(key, n, &[3, *side, *side], 10)
            }
        }
    }

    /// How many parameters the network has; running statistics are none.
    pub fn parameters(&self) -> usize {
        match self {
            Design::Mlp { widths, .. } => widths.windows(2).map(|w| (w[0] + 1) * w[1]).sum(),
            Design::Gpt { layers, width, context, vocabulary, .. } => {
                gpt::parameters(*layers, *width, *context, *vocabulary)
            }
            Design::Lenet { side, channels, hidden } => lenet::parameters(*side, *channels, *hidden),
            Design::ResNet { channels, .. } => resnet::parameters(*channels),
            Design::Separable { channels, .. } => separable::parameters(channels),
        }
    }
}

/// The parameters of a named model.
///
/// It is a tree: [`leaves`](Tree::leaves) gives names and tensors in a fixed order, which is that of the fields of the
/// layers, so that parameters can be exchanged with other programs: by [`with_arrays`](Network::with_arrays), or by
/// [`save`](crate::save) and [`load`](crate::load). Weights of linear layers are `[inputs, outputs]`, kernels
/// `[outputs, inputs / groups, height, width]`; a norm's running mean and variance follow its weight and bias.
#[derive(Clone, Debug)]
pub enum Network {
    /// Linear layers.
    Mlp(Mlp),
    /// A transformer.
    Gpt(Gpt),
    /// Two convolutions.
    Lenet(Lenet),
    /// Residual blocks.
    ResNet(ResNet),
    /// Separable convolutions.
    Separable(Separable),
}

/// What a norm's running mean and variance become after a batch.
pub(super) type Statistics = Vec<(Tensor, Tensor)>;

impl Network {
    /// The mean cross entropy of a batch in training, and the running statistics moved by it.
    #[track_caller]
    pub(super) fn train(&self, batch: &Batch) -> (Tensor, Statistics) {
        let plain = |model: &dyn Fn() -> Tensor| (model(), Statistics::new());
        let (logits, moved) = match self {
            Network::Mlp(model) => plain(&|| model.forward(&batch.inputs, None)),
            Network::Gpt(model) => plain(&|| model.forward(&batch.inputs, None)),
            Network::Lenet(model) => plain(&|| model.forward(&batch.inputs, None)),
            Network::ResNet(model) => model.train(&batch.inputs),
            Network::Separable(model) => plain(&|| model.forward(&batch.inputs, None)),
        };
        (gradus::scope("loss", || loss::cross_entropy(&logits, &batch.labels)), moved)
    }

    /// The mean cross entropy of a batch in training.
    #[track_caller]
    pub fn loss(&self, batch: &Batch) -> Tensor {
        self.train(batch).0
    }

    /// The network with running statistics from [`train`](Network::train).
    pub(super) fn with_statistics(self, moved: Statistics) -> Self {
        match self {
            Network::ResNet(model) => Network::ResNet(model.with_statistics(moved)),
            other => other,
        }
    }

    /// The same network with other parameters, in the order of [`leaves`](Tree::leaves).
    ///
    /// # Errors
    /// If their number, a shape or a dtype is not that of the network.
    ///
    /// ```
    /// use gradus::{Key, Tree};
    /// use gradus_nn::models::Named;
    /// let network = Named::find("mlp-relu")?.small().init(&Key::new(0));
    /// let zeros = network.tensors().iter().map(|t| t.zeros_like()).collect();
    /// let network = network.with_arrays(zeros)?;
    /// assert!(network.with_arrays(vec![]).is_err());
    /// # Ok::<(), gradus_nn::Error>(())
    /// ```
    pub fn with_arrays(&self, tensors: Vec<Tensor>) -> Result<Self> {
        let leaves = self.leaves();
        if leaves.len() != tensors.len() {
            let found = tensors.len();
            return Err(Error::Mismatch(format!("it has {} tensors, not {found}", leaves.len())));
        }
        for ((name, want), got) in leaves.iter().zip(&tensors) {
            if want.shape() != got.shape() || want.dtype() != got.dtype() {
                let (want, got) = ((want.dtype(), want.shape()), (got.dtype(), got.shape()));
                return Err(Error::Mismatch(format!(
                    "{name} is {} {}, not {} {}",
                    want.0, want.1, got.0, got.1
                )));
            }
        }
        Ok(self.with_tensors(tensors))
    }
}

/// The tree of the network inside: names of leaves have no prefix.
impl Tree for Network {
    fn visit(&self, path: &mut TreePath, f: &mut dyn FnMut(&TreePath, &Tensor)) {
        match self {
            Network::Mlp(model) => model.visit(path, f),
            Network::Gpt(model) => model.visit(path, f),
            Network::Lenet(model) => model.visit(path, f),
            Network::ResNet(model) => model.visit(path, f),
            Network::Separable(model) => model.visit(path, f),
        }
    }

    fn map(&self, f: &mut dyn FnMut(&Tensor) -> Tensor) -> Self {
        match self {
            Network::Mlp(model) => Network::Mlp(model.map(f)),
            Network::Gpt(model) => Network::Gpt(model.map(f)),
            Network::Lenet(model) => Network::Lenet(model.map(f)),
            Network::ResNet(model) => Network::ResNet(model.map(f)),
            Network::Separable(model) => Network::Separable(model.map(f)),
        }
    }

    fn structure(&self, structure: &mut Structure<'_>) {
        let (kind, inner): (_, &dyn Fn(&mut Structure<'_>)) = match self {
            Network::Mlp(model) => ("Mlp", &|s| model.structure(s)),
            Network::Gpt(model) => ("Gpt", &|s| model.structure(s)),
            Network::Lenet(model) => ("Lenet", &|s| model.structure(s)),
            Network::ResNet(model) => ("ResNet", &|s| model.structure(s)),
            Network::Separable(model) => ("Separable", &|s| model.structure(s)),
        };
        structure.variant(kind);
        inner(structure);
    }
}
