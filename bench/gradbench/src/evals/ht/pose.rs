//! From the 26 numbers of a pose to the positions of all vertices.

use gradus_num::Real;

use super::data::Model;

/// The first three rows of a 4 x 4 matrix whose last is `0 0 0 1`: a linear map and a shift.
pub type Affine<R> = [[R; 4]; 3];

const FINGERS: usize = 5;

/// The position of every vertex.
pub fn skin<R: Real>(model: &Model, theta: &[R]) -> Vec<[R; 3]> {
    let bones = transforms(model, &relative_poses(model, theta));
    let turn = rotation([theta[0], theta[1], theta[2]]);
    model
        .vertices
        .iter()
        .map(|vertex| {
            let mut position = [R::zero(); 3];
            for &(bone, point) in &vertex.weighted {
                for (sum, row) in position.iter_mut().zip(&bones[bone]) {
                    *sum += row[0].scale(point[0])
                        + row[1].scale(point[1])
                        + row[2].scale(point[2])
                        + row[3].scale(point[3]);
                }
            }
            if model.is_mirrored {
                position[0] = -position[0];
            }
            [0, 1, 2].map(|i| apply(&turn[i], position) + theta[3 + i])
        })
        .collect()
}

fn apply<R: Real>(row: &[R; 3], v: [R; 3]) -> R {
    row[0] * v[0] + row[1] * v[1] + row[2] * v[2]
}

/// Each bone's pose relative to its parent: as at rest, and for the fingers' bones turned on by their angles.
fn relative_poses<R: Real>(model: &Model, theta: &[R]) -> Vec<Affine<R>> {
    let mut poses: Vec<Affine<R>> =
        model.base_relatives.iter().map(|rest| rest.map(|row| row.map(R::from_f64))).collect();
    for finger in 0..FINGERS {
        let (angles, bone) = (&theta[6 + 4 * finger..], 4 * finger + 2);
        turn_z(&mut poses[bone], angles[1]);
        turn_x(&mut poses[bone], angles[0]);
        turn_x(&mut poses[bone + 1], angles[2]);
        turn_x(&mut poses[bone + 2], angles[3]);
    }
    poses
}

/// `M ← M Rz(t)`.
fn turn_z<R: Real>(m: &mut Affine<R>, t: R) {
    let (sin, cos) = t.sin_cos();
    for row in m {
        (row[0], row[1]) = (row[0] * cos + row[1] * sin, row[1] * cos - row[0] * sin);
    }
}

/// `M ← M Rx(t)`.
fn turn_x<R: Real>(m: &mut Affine<R>, t: R) {
    let (sin, cos) = t.sin_cos();
    for row in m {
        (row[1], row[2]) = (row[1] * cos + row[2] * sin, row[2] * cos - row[1] * sin);
    }
}

/// What moves each bone from its place at rest to its place in the pose.
fn transforms<R: Real>(model: &Model, relative: &[Affine<R>]) -> Vec<Affine<R>> {
    let mut absolute: Vec<Affine<R>> = Vec::with_capacity(relative.len());
    for (pose, parent) in relative.iter().zip(&model.parents) {
        absolute.push(match parent {
            Some(parent) => compose(&absolute[*parent], pose),
            None => *pose,
        });
    }
    absolute
        .iter()
        .zip(&model.inverse_base_absolutes)
        .map(|(pose, inverse)| compose_constant(pose, inverse))
        .collect()
}

/// `a b`.
fn compose<R: Real>(a: &Affine<R>, b: &Affine<R>) -> Affine<R> {
    a.map(|row| {
        [0, 1, 2, 3].map(|j| {
            let sum = row[0] * b[0][j] + row[1] * b[1][j] + row[2] * b[2][j];
            if j == 3 { sum + row[3] } else { sum }
        })
    })
}

/// `a b` for a constant `b`.
fn compose_constant<R: Real>(a: &Affine<R>, b: &Affine<f64>) -> Affine<R> {
    a.map(|row| {
        [0, 1, 2, 3].map(|j| {
            let sum = row[0].scale(b[0][j]) + row[1].scale(b[1][j]) + row[2].scale(b[2][j]);
            if j == 3 { sum + row[3] } else { sum }
        })
    })
}

/// The rotation by `|r|` about `r`; the identity, without derivative, for angles below 1e-4.
fn rotation<R: Real>(r: [R; 3]) -> [[R; 3]; 3] {
    let (zero, one) = (R::zero(), R::one());
    let angle = (r[0] * r[0] + r[1] * r[1] + r[2] * r[2]).sqrt();
    if angle.value() < 1e-4 {
        return [[one, zero, zero], [zero, one, zero], [zero, zero, one]];
    }
    let a = r.map(|r| r / angle);
    let (sin, cos) = angle.sin_cos();
    let cross = [[zero, -a[2], a[1]], [a[2], zero, -a[0]], [-a[1], a[0], zero]];
    [0, 1, 2].map(|i| {
        [0, 1, 2].map(|j| {
            let along = a[i] * a[j];
            let identity = if i == j { one } else { zero };
            along + cos * (identity - along) + sin * cross[i][j]
        })
    })
}
