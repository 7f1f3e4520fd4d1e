//! What a compiled function captures.

use gradus::{DType, Tensor, jit};

/// What only devices with a planner do.
mod plans {
    use super::*;

    #[test]
    fn small_tensors_are_captured_small() {
        let (rate, mask) = (Tensor::from(0.5f32), Tensor::from([true, false]));
        let step = jit(|w: &Tensor| mask.select(w - &rate * w, 0.0));
        let w = Tensor::ones([1000, 2], DType::F32);
        assert_eq!(step.call(&w), Tensor::from([[0.5f32, 0.0]]).broadcast_to([1000, 2]));
        // The argument, the result, and a few bytes.
        let spare = step.planned_peak_bytes(&w) - 2 * 8000;
        assert!(spare < 64, "{spare} bytes: {}", step.program(&w));
    }
}
