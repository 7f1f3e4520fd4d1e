//! Convolutions of known networks, forward and for both gradients, in the rate of the multiplications they need.

use gradus_cpu::Pool;
use gradus_cpu::conv::Conv;

use crate::timing::median_ns;

/// Name, batch, channels, outputs, extent, kernel, stride, padding.
const CASES: [(&str, usize, usize, usize, usize, usize, usize, usize); 9] = [
    ("5x5 first", 128, 1, 32, 28, 5, 1, 2),
    ("5x5 second", 128, 32, 64, 14, 5, 1, 2),
    ("resnet stem", 32, 3, 64, 32, 3, 1, 1),
    ("resnet 1", 32, 64, 64, 32, 3, 1, 1),
    ("resnet 2 down", 32, 64, 128, 32, 3, 2, 1),
    ("resnet 2", 32, 128, 128, 16, 3, 1, 1),
    ("resnet 3", 32, 256, 256, 8, 3, 1, 1),
    ("resnet 4", 32, 512, 512, 4, 3, 1, 1),
    ("pointwise", 32, 64, 128, 32, 1, 1, 0),
];

/// Prints milliseconds and GFLOP/s on all threads.
pub fn report(pool: &Pool) {
    println!("conv    f32 case            forward        input gradient  weight gradient   (ms, GFLOP/s)");
    for (name, n, c, o, extent, k, stride, pad) in CASES {
        let padding = [pad as isize; 2];
        let forward = Conv::new(n, c, o, &[extent; 2], &[k; 2])
            .and_then(|conv| conv.stride(&[stride; 2]))
            .and_then(|conv| conv.padding(&padding, &padding))
            .expect("the parameters are valid");
        let out = forward.output()[1];
        let taps = k * k;
        let low = (k - 1 - pad) as isize;
        let high = (extent + k - 1 - ((out - 1) * stride + 1)) as isize - low;
        let input = Conv::new(n, o, c, &[out; 2], &[k; 2])
            .and_then(|conv| conv.padding(&[low; 2], &[high; 2]))
            .and_then(|conv| conv.dilation(&[stride; 2], &[1, 1]))
            .expect("the parameters are valid")
            .strides([o * out * out, out * out], [taps, c * taps], [c * extent * extent, extent * extent]);
        let high = ((k - 1) + (out - 1) * stride + 1) as isize - extent as isize - pad as isize;
        let weight = Conv::new(c, n, o, &[extent; 2], &[out; 2])
            .and_then(|conv| conv.padding(&[pad as isize; 2], &[high; 2]))
            .and_then(|conv| conv.dilation(&[1, 1], &[stride; 2]))
            .expect("the parameters are valid")
            .strides([extent * extent, c * extent * extent], [out * out, o * out * out], [taps, c * taps]);
        let numbers = |len: usize| (0..len).map(|i| (i % 19) as f32 - 9.0).collect::<Vec<f32>>();
        let x = numbers(n * c * extent * extent);
        let kernel = numbers(o * c * taps);
        let cotangent = numbers(n * o * out * out);
        let (mut y, mut dx, mut dw) = (cotangent.clone(), x.clone(), kernel.clone());
        let times = [
            median_ns(|| forward.run(pool, &x, &kernel, &mut y).expect("the operands fit")),
            median_ns(|| input.run(pool, &cotangent, &kernel, &mut dx).expect("the operands fit")),
            median_ns(|| weight.run(pool, &x, &cotangent, &mut dw).expect("the operands fit")),
        ];
        print!("conv    {name:15}");
        for ns in times {
            print!("  {:8.2} {:6.1}", ns / 1e6, forward.flops() / ns);
        }
        println!();
    }
}
