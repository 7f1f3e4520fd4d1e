//! `ln |Γ|`, with relative accuracy also at its zeros on the negative axis.

use super::gamma::digamma;
use super::{abs, log, log1p, recip, round};

/// `ln |Γ(x)|`, infinite at `0, -1, -2, …`.
///
/// Beside each pole from -2 on lies a zero, closer by the factorial, and there the usual reflection cancels. With `d` the distance
/// from the pole `-m` and `z` that of the zero, `ψ(x) = -1/d + h` with a smooth `h`, and so
/// `ln |Γ(x)| = -ln(d/z) + ∫ h` from `z` to `d`: both terms vanish at the zero.
///
/// ```
/// use gradus_num::math::lgamma;
///
/// assert_eq!(lgamma(0.5), 0.5 * core::f64::consts::PI.ln());
/// ```
pub fn lgamma(x: f64) -> f64 {
    if x < -1.5 && x > -1.5 - ZEROS.len() as f64 {
        // Between -3 and -2 the zeros are far from their poles, and the function small throughout: each serves its side.
        let pole = if x > -2.62 { 2.0 } else { -round(x) };
        let d = x + pole;
        if d != 0.0 && pole >= 2.0 {
            let sides = ZEROS[pole as usize - 2];
            let (high, low) = if d < 0.0 { sides[0] } else { sides[1] };
            if !high.is_nan() {
                return beside_pole(pole, d, high, low);
            }
        }
    }
    libm::lgamma(x)
}

fn beside_pole(pole: f64, d: f64, high: f64, low: f64) -> f64 {
    let step = (d - high) - low;
    let ratio = step / high;
    let logarithm = if abs(ratio) < 0.5 { log1p(ratio) } else { log(d / high) };
    let mean = GAUSS.iter().fold(0.0, |sum, (u, w)| sum + w * without_pole(pole, high + u * step));
    step * mean - logarithm
}

/// `ψ(d - m) + 1/d = ψ(1 + d) - Σ 1/(d - j)` for `j = 1..=m`.
fn without_pole(pole: f64, d: f64) -> f64 {
    let mut sum = digamma(1.0 + d);
    let mut j = 1.0;
    while j <= pole {
        sum += recip(j - d);
        j += 1.0;
    }
    sum
}

/// The distances, left and right, of the zeros from the poles -2, -3, …, in two parts each, from
/// `bench/golden/lgamma_zeros.py`. Farther out a zero is closer to its pole than any other number is.
const ZEROS: [[(f64, f64); 2]; 18] = [
    [(-0.45702473822080064, 1.843554041574456e-17), (f64::NAN, 0.0)],
    [(-0.14358088834998006, 3.862806401714152e-18), (0.2523173532725874, -2.04688991691325e-17)],
    [(-0.03936183974053688, 3.2731379225891636e-18), (0.04470571514140207, 8.223977942582053e-19)],
    [(-0.008218168322593521, -5.582665915956405e-19), (0.008455359439952277, 8.231751957350036e-19)],
    [(-0.0013852944531550972, -2.6295731811446077e-20), (0.0013925199191243706, -7.090441230646531e-20)],
    [(-0.00019833340732475162, 1.1820573401560963e-20), (0.0001984921093623021, 6.263909978492175e-21)],
    [(-2.48002706819597e-05, 1.0083974251164085e-21), (2.4802904179335845e-05, 3.15397713595963e-22)],
    [(-2.7557148226503463e-06, -5.624459871432079e-23), (2.7557490225318057e-06, -6.500300408654724e-23)],
    [(-2.755730136466002e-07, -2.4472526783403563e-23), (2.7557337083353163e-07, 1.4502658434955713e-23)],
    [(-2.5052106852407546e-08, 1.2924868620853802e-24), (2.5052109918476226e-08, -6.807394864189793e-25)],
    [(-2.087675687777539e-09, -4.849684877236172e-26), (2.087675709796081e-09, -8.658839215884982e-26)],
    [(-1.6059043830108875e-10, 7.046449983196074e-27), (1.6059043843534355e-10, 6.465141936497467e-27)],
    [(-1.147074559737784e-11, 4.194056116105366e-28), (1.147074559808161e-11, -7.830340218001236e-28)],
    [(-7.647163731803788e-13, 4.886154187641447e-29), (7.647163731835846e-13, -3.8035184915187745e-29)],
    [(-4.779477332386745e-14, -1.811833433216651e-30), (4.779477332388026e-14, -9.319923331229129e-31)],
    [(-2.811457254345498e-15, -2.2878206410005478e-32), (2.8114572543455435e-15, -8.713180440266469e-32)],
    [(-1.561920696858622e-16, 9.970308044546635e-33), (1.5619206968586233e-16, 9.139764076937634e-33)],
    [(-8.22063524662433e-18, -2.0674364147742136e-35), (8.22063524662433e-18, 4.221635182443431e-34)],
];

/// Nodes and weights of the Gauss-Legendre rule with 11 points on `[0, 1]`.
pub(super) const GAUSS: [(f64, f64); 11] = [
    (0.010885670926971503, 0.02783428355808683),
    (0.05646870011595235, 0.0627901847324523),
    (0.13492399721297535, 0.09314510546386713),
    (0.2404519353965941, 0.11659688229599524),
    (0.3652284220238275, 0.13140227225512333),
    (0.5, 0.1364625433889503),
    (0.6347715779761725, 0.13140227225512333),
    (0.759548064603406, 0.11659688229599524),
    (0.8650760027870247, 0.09314510546386713),
    (0.9435312998840476, 0.0627901847324523),
    (0.9891143290730285, 0.02783428355808683),
];
