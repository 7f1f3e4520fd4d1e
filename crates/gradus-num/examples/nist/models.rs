//! The models, written once over `Real`, and the data files.

use gradus_num::{Real, VectorFn};

/// One problem: its name, model and file.
pub struct Problem {
    pub name: &'static str,
    pub model: Model,
    file: &'static str,
}

/// What a data file holds.
pub struct Data {
    pub starts: [Vec<f64>; 2],
    pub certified: Vec<f64>,
    pub sum_of_squares: f64,
    pub y: Vec<f64>,
    /// One or two predictors for each observation.
    pub x: Vec<[f64; 2]>,
}

/// The form of a model.
#[derive(Clone, Copy)]
pub enum Model {
    Bennett5,
    BoxBod,
    Chwirut,
    DanWood,
    Enso,
    Eckerle4,
    Gauss,
    CubicOverCubic,
    Kirby2,
    Lanczos,
    Mgh09,
    Mgh10,
    Mgh17,
    Misra1b,
    Misra1c,
    Misra1d,
    Nelson,
    Rat42,
    Rat43,
    Roszman1,
}

macro_rules! problems {
    ($($name:literal $model:ident;)*) => {
        [$(Problem {
            name: $name,
            model: Model::$model,
            file: include_str!(concat!("data/", $name, ".dat")),
        }),*]
    };
}

pub const PROBLEMS: [Problem; 27] = problems! {
    "Misra1a" BoxBod; "Chwirut2" Chwirut; "Chwirut1" Chwirut; "Lanczos3" Lanczos; "Gauss1" Gauss; "Gauss2" Gauss;
    "DanWood" DanWood; "Misra1b" Misra1b; "Kirby2" Kirby2; "Hahn1" CubicOverCubic; "Nelson" Nelson; "MGH17" Mgh17;
    "Lanczos1" Lanczos; "Lanczos2" Lanczos; "Gauss3" Gauss; "Misra1c" Misra1c; "Misra1d" Misra1d;
    "Roszman1" Roszman1; "ENSO" Enso; "MGH09" Mgh09; "Thurber" CubicOverCubic; "BoxBOD" BoxBod; "Rat42" Rat42;
    "MGH10" Mgh10; "Eckerle4" Eckerle4; "Rat43" Rat43; "Bennett5" Bennett5;
};

impl Model {
    /// The predicted response (for Nelson its logarithm).
    fn predict<R: Real>(self, b: &[R], x: [f64; 2]) -> R {
        let lit = R::from_f64;
        let one = R::one();
        let t = lit(x[0]);
        match self {
            Model::Bennett5 => b[0] * (b[1] + t).powf(&(-one / b[2])),
            Model::BoxBod => b[0] * (one - (-b[1] * t).exp()),
            Model::Chwirut => (-b[0] * t).exp() / (b[1] + b[2] * t),
            Model::DanWood => b[0] * t.powf(&b[1]),
            Model::Enso => {
                let turn = lit(2.0) * R::pi() * t;
                let wave = |c: R, s: R, angle: R| c * angle.cos() + s * angle.sin();
                b[0] + wave(b[1], b[2], turn / lit(12.0))
                    + wave(b[4], b[5], turn / b[3])
                    + wave(b[7], b[8], turn / b[6])
            }
            Model::Eckerle4 => {
                let z = (t - b[2]) / b[1];
                b[0] / b[1] * (-lit(0.5) * z * z).exp()
            }
            Model::Gauss => {
                let bell = |height: R, centre: R, width: R| {
                    let z = (t - centre) / width;
                    height * (-z * z).exp()
                };
                b[0] * (-b[1] * t).exp() + bell(b[2], b[3], b[4]) + bell(b[5], b[6], b[7])
            }
            Model::CubicOverCubic => {
                (b[0] + t * (b[1] + t * (b[2] + t * b[3]))) / (one + t * (b[4] + t * (b[5] + t * b[6])))
            }
            Model::Kirby2 => (b[0] + t * (b[1] + t * b[2])) / (one + t * (b[3] + t * b[4])),
            Model::Lanczos => b[0] * (-b[1] * t).exp() + b[2] * (-b[3] * t).exp() + b[4] * (-b[5] * t).exp(),
            Model::Mgh09 => b[0] * (t * t + t * b[1]) / (t * t + t * b[2] + b[3]),
            Model::Mgh10 => b[0] * (b[1] / (t + b[2])).exp(),
            Model::Mgh17 => b[0] + b[1] * (-t * b[3]).exp() + b[2] * (-t * b[4]).exp(),
            Model::Misra1b => b[0] * (one - (one + b[1] * t / lit(2.0)).powi(-2)),
            Model::Misra1c => b[0] * (one - (one + lit(2.0) * b[1] * t).rsqrt()),
            Model::Misra1d => b[0] * b[1] * t / (one + b[1] * t),
            Model::Nelson => b[0] - b[1] * t * (-b[2] * lit(x[1])).exp(),
            Model::Rat42 => b[0] / (one + (b[1] - b[2] * t).exp()),
            Model::Rat43 => b[0] / (one + (b[1] - b[2] * t).exp()).powf(&(one / b[3])),
            Model::Roszman1 => b[0] - b[1] * t - (b[2] / (t - b[3])).atan() / R::pi(),
        }
    }
}

/// Prediction minus observation, for every observation.
pub struct Residuals<'a> {
    pub model: Model,
    pub data: &'a Data,
}

impl VectorFn for Residuals<'_> {
    fn outputs(&self, _parameters: usize) -> usize {
        self.data.y.len()
    }

    fn call<R: Real>(&self, b: &[R], r: &mut [R]) {
        for ((r, &y), &x) in r.iter_mut().zip(&self.data.y).zip(&self.data.x) {
            *r = self.model.predict(b, x) - R::from_f64(y);
        }
    }
}

impl Problem {
    /// Reads the embedded file: parameters from the lines `bN = start start value deviation`, observations after line 60.
    ///
    /// # Panics
    /// If the file is not as NIST wrote it.
    pub fn data(&self) -> Data {
        let number = |word: &str| word.parse::<f64>().unwrap_or_else(|_| panic!("{}: `{word}`", self.name));
        let mut data = Data {
            starts: [Vec::new(), Vec::new()],
            certified: Vec::new(),
            sum_of_squares: f64::NAN,
            y: Vec::new(),
            x: Vec::new(),
        };
        for (line, text) in self.file.lines().enumerate() {
            let words: Vec<&str> = text.split_whitespace().collect();
            if line < 60 {
                let parameter =
                    text.trim_start().starts_with('b') && text.contains(" = ") && words.len() >= 5;
                if parameter && words[2].parse::<f64>().is_ok() {
                    data.starts[0].push(number(words[2]));
                    data.starts[1].push(number(words[3]));
                    data.certified.push(number(words[4]));
                }
                if text.starts_with("Residual Sum of Squares") {
                    data.sum_of_squares = number(words[words.len() - 1]);
                }
            } else if words.len() >= 2 {
                let y = number(words[0]);
                data.y.push(if matches!(self.model, Model::Nelson) { y.ln() } else { y });
                data.x.push([number(words[1]), words.get(2).map_or(0.0, |w| number(w))]);
            }
        }
        data
    }
}
