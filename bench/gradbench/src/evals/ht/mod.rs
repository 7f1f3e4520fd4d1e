//! ht: hand tracking. A hand of bones is bent by 26 numbers and its skin follows; the errors are the distances
//! of measured points to the points of the skin that they correspond to.

mod data;
mod pose;

use gradus_num::{Dual, Real, forward};
use serde_json::value::RawValue;

use self::data::Hand;
use self::pose::skin;
use super::{Eval, unknown};
use crate::error::Result;
use crate::output::Output;
use crate::task::{Task, task};

pub const EVAL: Eval = Eval { name: "ht", functions: &["objective", "jacobian"], bare_input: false, prepare };

/// The numbers that describe a pose.
const THETA: usize = 26;

/// The errors `points[i] - surface[i]`, three numbers each.
///
/// Without barycentric coordinates a correspondence is a vertex. With them it is a triangle, in which the point
/// lies at `us[i] + shift`; the shift is zero, and its derivatives are those in each point's own coordinates.
fn errors<R: Real>(hand: &Hand, shift: [R; 2], theta: &[R], out: &mut [R]) {
    let skin = skin(&hand.model, theta);
    for (i, (error, point)) in out.chunks_exact_mut(3).zip(&hand.points).enumerate() {
        let surface = match hand.us.get(i) {
            None => skin[hand.correspondences[i]],
            Some(&[a, b]) => {
                let [p, q, r] = hand.model.triangles[hand.correspondences[i]].map(|vertex| skin[vertex]);
                let (a, b) = (shift[0].shift(a), shift[1].shift(b));
                let c = R::one() - a - b;
                [0, 1, 2].map(|j| a * p[j] + b * q[j] + c * r[j])
            }
        };
        for j in 0..3 {
            error[j] = (-surface[j]).shift(point[j]);
        }
    }
}

fn prepare(function: &str, input: &RawValue) -> Result<Box<dyn Task>> {
    let (hand, theta) = data::decode_hand(input)?;
    let rows = 3 * hand.points.len();
    match function {
        "objective" => {
            let run = move |out: &mut Vec<f64>| {
                errors(&hand, [0.0; 2], &theta, out);
                Ok(())
            };
            Ok(task(vec![0.0; rows], run, |out| Output::Vector(out.clone())))
        }
        "jacobian" if hand.us.is_empty() => Ok(simple(hand, theta, rows)),
        "jacobian" => Ok(complicated(hand, theta, rows)),
        _ => unknown(&EVAL, function),
    }
}

/// 26 columns, one for each number of the pose, in one pass.
fn simple(hand: Hand, theta: Vec<f64>, rows: usize) -> Box<dyn Task> {
    let (mut work, mut value) = (Vec::new(), vec![0.0; rows]);
    let run = move |jacobian: &mut Vec<f64>| {
        let f = |v: &[Dual<f64, 26>], out: &mut [_]| errors(&hand, [Dual::constant(0.0); 2], v, out);
        forward::jacobian_into(f, &theta, &mut work, &mut value, jacobian);
        Ok(())
    };
    task(vec![0.0; rows * THETA], run, move |jacobian| Output::rows(rows, THETA, jacobian.clone()))
}

/// Two columns for each row's own barycentric coordinates, which share two directions, then those of the pose.
fn complicated(hand: Hand, theta: Vec<f64>, rows: usize) -> Box<dyn Task> {
    const WIDTH: usize = THETA + 2;
    let (mut work, mut value) = (Vec::new(), vec![0.0; rows]);
    let inputs: Vec<f64> = [0.0; 2].into_iter().chain(theta).collect();
    let run = move |jacobian: &mut Vec<f64>| {
        let f = |v: &[Dual<f64, WIDTH>], out: &mut [_]| errors(&hand, [v[0], v[1]], &v[2..], out);
        forward::jacobian_into(f, &inputs, &mut work, &mut value, jacobian);
        Ok(())
    };
    task(vec![0.0; rows * WIDTH], run, move |jacobian| Output::rows(rows, WIDTH, jacobian.clone()))
}
