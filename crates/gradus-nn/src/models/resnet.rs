//! The residual network of 18 layers, in its form for small images.

use gradus::{Key, Tensor, Tree, scope};

use crate::Model;
use crate::layers::{BatchNorm, Conv2d, Linear};

/// Two 3x3 convolutions with batch norm beside a shortcut: `relu(norm₂(conv₂(relu(norm₁(conv₁(x))))) + shortcut(x))`.
#[derive(Clone, Debug, Tree)]
pub struct BasicBlock {
    /// The first may take only every second place.
    pub convolutions: [Conv2d; 2],
    /// After each convolution.
    pub norms: [BatchNorm; 2],
    /// A 1x1 convolution and its norm where shapes change; else the input itself.
    pub shortcut: Option<(Conv2d, BatchNorm)>,
}

/// How a norm is applied: with the statistics of the batch, or with the running ones.
type Norm<'a> = &'a mut dyn FnMut(&BatchNorm, &Tensor) -> Tensor;

impl BasicBlock {
    fn new(key: &Key, inputs: usize, outputs: usize, stride: usize) -> Self {
        let keys = key.split_n(3);
        let conv = |i: usize, inputs, size| Conv2d::new(&keys[i], inputs, outputs, size).without_bias();
        let shortcut = (stride != 1 || inputs != outputs)
            .then(|| (conv(2, inputs, 1).stride(stride), BatchNorm::new(outputs)));
        BasicBlock {
            convolutions: [conv(0, inputs, 3).stride(stride).padding(1), conv(1, outputs, 3).padding(1)],
            norms: [BatchNorm::new(outputs), BatchNorm::new(outputs)],
            shortcut,
        }
    }

    #[track_caller]
    fn run(&self, x: &Tensor, norm: Norm) -> Tensor {
        let y = norm(&self.norms[0], &self.convolutions[0].forward(x)).relu();
        let y = norm(&self.norms[1], &self.convolutions[1].forward(&y));
        match &self.shortcut {
            Some((conv, shortcut)) => (y + norm(shortcut, &conv.forward(x))).relu(),
            None => (y + x).relu(),
        }
    }
}

/// ResNet-18 for small images (He et al. 2016): a 3x3 convolution, eight [`BasicBlock`]s in four stages, the mean over
/// all places, and a linear layer to ten classes.
///
/// ```
/// use gradus::{DType, Key, Tensor};
/// use gradus_nn::{Model, models::ResNet};
/// let model = ResNet::new(&Key::new(0), [2, 4, 4, 8]);
/// assert_eq!(model.forward(&Tensor::zeros([2, 3, 16, 16], DType::F32), None).shape(), &[2, 10].into());
/// ```
#[derive(Clone, Debug, Tree)]
pub struct ResNet {
    /// Three colours to the channels of the first stage, and its norm.
    pub stem: (Conv2d, BatchNorm),
    /// Two a stage; the first of each stage but the first halves the image.
    pub blocks: Vec<BasicBlock>,
    /// To ten classes.
    pub head: Linear,
}

impl ResNet {
    /// With so many channels in each stage.
    pub fn new(key: &Key, channels: [usize; 4]) -> Self {
        let keys = key.split_n(10);
        let mut blocks = Vec::new();
        let mut inputs = channels[0];
        for (stage, &outputs) in channels.iter().enumerate() {
            blocks.push(BasicBlock::new(&keys[2 * stage], inputs, outputs, if stage == 0 { 1 } else { 2 }));
            blocks.push(BasicBlock::new(&keys[2 * stage + 1], outputs, outputs, 1));
            inputs = outputs;
        }
        let stem = Conv2d::new(&keys[8], 3, channels[0], 3).padding(1).without_bias();
        ResNet { stem: (stem, BatchNorm::new(channels[0])), blocks, head: Linear::new(&keys[9], inputs, 10) }
    }

    /// All norms, in the order in which they act.
    fn norms_mut(&mut self) -> Vec<&mut BatchNorm> {
        let mut norms = vec![&mut self.stem.1];
        for block in &mut self.blocks {
            norms.extend(&mut block.norms);
            norms.extend(block.shortcut.as_mut().map(|s| &mut s.1));
        }
        norms
    }

    #[track_caller]
    fn run(&self, x: &Tensor, norm: Norm) -> Tensor {
        let mut x = scope("stem", || norm(&self.stem.1, &self.stem.0.forward(x)).relu());
        for (i, block) in self.blocks.iter().enumerate() {
            x = scope(format!("blocks.{i}"), || block.run(&x, norm));
        }
        scope("head", || self.head.forward(&x.mean([2, 3])))
    }

    /// With the statistics of the batch: the logits, and the running mean and variance of each norm moved by them.
    #[track_caller]
    pub fn train(&self, x: &Tensor) -> (Tensor, Vec<(Tensor, Tensor)>) {
        let mut moved = Vec::new();
        let logits = self.run(x, &mut |norm, x| {
            let (y, next) = norm.train(x);
            moved.push((next.mean, next.variance));
            y
        });
        (logits, moved)
    }

    /// The same network with the running statistics that [`train`](ResNet::train) gave.
    pub fn with_statistics(mut self, moved: Vec<(Tensor, Tensor)>) -> Self {
        for (norm, (mean, variance)) in self.norms_mut().into_iter().zip(moved) {
            (norm.mean, norm.variance) = (mean, variance);
        }
        self
    }
}

impl Model for ResNet {
    /// With a key by the statistics of the batch, without one by the running ones.
    #[track_caller]
    fn forward(&self, x: &Tensor, training: Option<&Key>) -> Tensor {
        match training {
            Some(_) => self.train(x).0,
            None => self.run(x, &mut |norm, x| norm.forward(x)),
        }
    }
}

/// Parameters of [`ResNet::new`]; the running statistics are none.
pub(super) fn parameters(channels: [usize; 4]) -> usize {
    let norm = |c: usize| 2 * c;
    let mut count = 27 * channels[0] + norm(channels[0]);
    let mut inputs = channels[0];
    for (stage, &c) in channels.iter().enumerate() {
        count += 9 * inputs * c + 3 * 9 * c * c + 4 * norm(c);
        if stage > 0 || inputs != c {
            count += inputs * c + norm(c);
        }
        inputs = c;
    }
    count + (inputs + 1) * 10
}
