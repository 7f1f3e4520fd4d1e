//! Random arguments for programs.

use gradus_core::{Array, DType, Graph, Type};

/// A small generator of pseudo-random numbers (splitmix64).
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0x1234_5678))
    }
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    #[allow(dead_code)] // Not every test that has this module draws from a range.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
    pub fn array(&mut self, ty: &Type) -> Array {
        let n = ty.shape.size();
        let v: Vec<f64> = (0..n).map(|_| 0.3 + 0.9 * self.unit()).collect();
        match ty.dtype {
            DType::Bool => {
                Array::new(ty.shape.clone(), v.iter().map(|x| *x > 0.7).collect::<Vec<bool>>()).unwrap()
            }
            dtype => Array::new(ty.shape.clone(), v).unwrap().cast(dtype),
        }
    }
}

/// Arguments for a program.
pub fn arguments(graph: &Graph, seed: u64) -> Vec<Array> {
    let mut rng = Rng::new(seed ^ 77);
    graph.input_types().iter().map(|ty| rng.array(ty)).collect()
}
