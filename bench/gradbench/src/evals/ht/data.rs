//! The model of a hand and the measurements, decoded and checked.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::THETA;
use super::pose::Affine;
use crate::error::{Result, require};
use crate::input::{Count, Whole, decode, same_len};

/// Bones that the angles of a pose refer to.
const LEAST_BONES: usize = 21;

/// A vertex: the bones that move it, each with the vertex's place at rest times the bone's weight.
pub struct Vertex {
    pub weighted: Vec<(usize, [f64; 4])>,
}

/// A hand at rest.
pub struct Model {
    pub parents: Vec<Option<usize>>,
    pub base_relatives: Vec<Affine<f64>>,
    pub inverse_base_absolutes: Vec<Affine<f64>>,
    pub vertices: Vec<Vertex>,
    pub triangles: Vec<[usize; 3]>,
    pub is_mirrored: bool,
}

/// A hand and what was measured of it.
pub struct Hand {
    pub model: Model,
    /// The vertex, or with barycentric coordinates the triangle, of each point.
    pub correspondences: Vec<usize>,
    pub points: Vec<[f64; 3]>,
    /// Barycentric coordinates of each point, or none at all.
    pub us: Vec<[f64; 2]>,
}

#[derive(Deserialize)]
struct Input {
    theta: Vec<f64>,
    us: Vec<[f64; 2]>,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    correspondences: Vec<Count>,
    points: Vec<[f64; 3]>,
    model: RawModel,
}

#[derive(Deserialize)]
struct RawModel {
    bone_count: Count,
    parents: Vec<Whole>,
    base_relatives: Vec<[[f64; 4]; 4]>,
    inverse_base_absolutes: Vec<[[f64; 4]; 4]>,
    base_positions: Vec<[f64; 4]>,
    weights: Vec<Vec<f64>>,
    triangles: Vec<[Count; 3]>,
    is_mirrored: bool,
}

/// The hand and the pose of an input.
pub fn decode_hand(input: &RawValue) -> Result<(Hand, Vec<f64>)> {
    let Input { theta, us, data } = decode(input)?;
    same_len("theta", &theta, THETA)?;
    let model = model(data.model)?;
    let count = data.points.len();
    same_len("data.correspondences", &data.correspondences, count)?;
    let (target, targets) = match us.is_empty() {
        true => ("vertices", model.vertices.len()),
        false => ("triangles", model.triangles.len()),
    };
    require(us.is_empty() || us.len() == count, || {
        format!("us has {} elements, but {count} (or none) are needed", us.len())
    })?;
    let correspondences: Vec<usize> = data.correspondences.iter().map(|c| c.0).collect();
    for (i, &c) in correspondences.iter().enumerate() {
        require(c < targets, || {
            format!("data.correspondences[{i}] is {c}, but there are {targets} {target}")
        })?;
    }
    Ok((Hand { model, correspondences, points: data.points, us }, theta))
}

fn model(raw: RawModel) -> Result<Model> {
    let bones = raw.bone_count.0;
    require(bones >= LEAST_BONES, || {
        format!("bone_count is {bones}, but a pose bends the first {LEAST_BONES} bones")
    })?;
    same_len("parents", &raw.parents, bones)?;
    let mut parents = Vec::with_capacity(bones);
    for (bone, &Whole(parent)) in raw.parents.iter().enumerate() {
        require(parent >= -1.0 && parent < bone as f64, || {
            format!("parents[{bone}] is {parent}, but must be -1 or a bone before {bone}")
        })?;
        parents.push((parent >= 0.0).then_some(parent as usize));
    }
    let count = raw.base_positions.len();
    same_len("weights", &raw.weights, count)?;
    let mut vertices = Vec::with_capacity(count);
    for (v, (weights, position)) in raw.weights.iter().zip(&raw.base_positions).enumerate() {
        same_len(&format!("weights[{v}]"), weights, bones)?;
        // Most weights are zero: only the bones that move a vertex are kept.
        let moved = weights.iter().enumerate().filter(|&(_, &w)| w != 0.0);
        vertices.push(Vertex { weighted: moved.map(|(b, w)| (b, position.map(|p| p * w))).collect() });
    }
    let mut triangles = Vec::with_capacity(raw.triangles.len());
    for (t, corners) in raw.triangles.iter().enumerate() {
        let corners = corners.map(|c| c.0);
        require(corners.iter().all(|&c| c < count), || {
            format!("triangles[{t}] is {corners:?}, but there are {count} vertices")
        })?;
        triangles.push(corners);
    }
    Ok(Model {
        parents,
        base_relatives: affine("base_relatives", &raw.base_relatives, bones)?,
        inverse_base_absolutes: affine("inverse_base_absolutes", &raw.inverse_base_absolutes, bones)?,
        vertices,
        triangles,
        is_mirrored: raw.is_mirrored,
    })
}

fn affine(name: &str, matrices: &[[[f64; 4]; 4]], count: usize) -> Result<Vec<Affine<f64>>> {
    same_len(name, matrices, count)?;
    let mut result = Vec::with_capacity(count);
    for (i, &[a, b, c, last]) in matrices.iter().enumerate() {
        require(last == [0.0, 0.0, 0.0, 1.0], || {
            format!("the last row of {name}[{i}] is {last:?}, but must be [0, 0, 0, 1]")
        })?;
        result.push([a, b, c]);
    }
    Ok(result)
}
