//! Tensors from and to other libraries: values, what is moved and what is copied, and what is refused.
#![cfg(all(
    feature = "faer",
    feature = "half",
    feature = "image",
    feature = "nalgebra",
    feature = "ndarray",
    feature = "npy",
    feature = "serde"
))]

use gradus::interop::{self, npy};
use gradus::{Bf16, DType, F16, Shape, Tensor, grad};

/// The address of a tensor's elements.
fn address<T: gradus::Element>(tensor: &Tensor) -> *const T {
    tensor.to_array().unwrap().elements::<T>().unwrap().as_ptr()
}

fn refused<T>(result: Result<T, impl std::fmt::Display>, words: &[&str]) {
    let Err(error) = result else { panic!("this is no error: {words:?}") };
    let text = error.to_string();
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
}

mod arrays {
    use super::*;
    use ::ndarray::{Array2, ArrayD, Ix2, array, s};

    #[test]
    fn row_major_memory_is_moved() {
        let a = array![[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]];
        let place = a.as_ptr();
        let x = Tensor::from(a);
        assert_eq!((address(&x), x.shape()), (place, &Shape::from([2, 3])));
        let back: ArrayD<f32> = x.try_into().unwrap();
        assert_eq!(back.as_ptr(), place);
        let back: Array2<f32> = back.into_dimensionality::<Ix2>().unwrap();
        assert_eq!(back, array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
    }

    #[test]
    fn shared_memory_is_copied() {
        let x = Tensor::from(array![1i64, 2]);
        let other = x.clone();
        let mut a: ArrayD<i64> = x.try_into().unwrap();
        a[0] = 9;
        assert_eq!(other, Tensor::from([1i64, 2]));
    }

    #[test]
    fn any_order_and_any_part() {
        let a = array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]];
        assert_eq!(Tensor::from(a.t()), Tensor::from([[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]));
        assert_eq!(Tensor::from(a.t().to_owned()), Tensor::from(a.t()));
        assert_eq!(Tensor::from(a.slice(s![..;-1, 1..])), Tensor::from([[5.0, 6.0], [2.0, 3.0]]));
        assert_eq!(Tensor::from(a.clone().slice_move(s![1, ..])), Tensor::from([4.0, 5.0, 6.0]));
        assert_eq!(Tensor::from(a.clone().slice_move(s![..1, ..])), Tensor::from([[1.0, 2.0, 3.0]]));
        assert_eq!(Tensor::from(a.clone().slice_move(s![.., 2..2])).shape(), &Shape::from([2, 0]));
        assert_eq!(Tensor::from(::ndarray::arr0(2.5)), Tensor::from(2.5));
        assert_eq!(Tensor::from(&a), Tensor::from(a));
    }

    #[test]
    fn views_and_errors() {
        let x = Tensor::from([[1.0, 2.0], [3.0, 4.0]]);
        let host = x.to_array().unwrap();
        assert_eq!(interop::ndarray::view::<f64>(&host).unwrap().sum(), 10.0);
        refused(interop::ndarray::view::<f32>(&host), &["ndarray", "f64", "f32", "cast"]);
        refused(ArrayD::<i32>::try_from(x), &["f64", "i32"]);
        // A recorded tensor has no elements yet.
        let inside = std::panic::catch_unwind(|| {
            gradus::jit(|x: &Tensor| {
                refused(ArrayD::<f64>::try_from(x), &["not known inside `jit`"]);
                x.clone()
            })
            .call(&Tensor::from(1.0))
        });
        assert!(inside.is_ok());
        let slope = grad(|x: &Tensor| (x * Tensor::from(array![2.0, 3.0])).sum(()));
        assert_eq!(slope(&Tensor::from([0.0, 0.0])), Tensor::from([2.0, 3.0]));
    }
}

mod matrices {
    use super::*;
    use ::faer::{Mat, mat};
    use ::nalgebra::{DMatrix, DVector, SMatrix};

    #[test]
    fn of_nalgebra() {
        let m = DMatrix::from_row_slice(2, 3, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let x = Tensor::from([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
        assert_eq!((Tensor::from(&m), Tensor::from(m.clone())), (x.clone(), x.clone()));
        assert_eq!(DMatrix::<f64>::try_from(&x).unwrap(), m);
        assert_eq!(interop::nalgebra::tensor(&m.view((0, 1), (2, 2))), x.slice(1, 1..));
        assert_eq!(interop::nalgebra::tensor(&SMatrix::<f64, 2, 3>::from_fn(|i, j| m[(i, j)])), x);
        let host = x.to_array().unwrap();
        let view = interop::nalgebra::view::<f64>(&host).unwrap();
        assert_eq!((view.as_ptr(), view[(1, 0)]), (address(&x), 4.0));
        for shape in [[0, 3], [3, 0], [0, 0]] {
            let empty = Tensor::zeros(shape, DType::F64);
            let back = DMatrix::<f64>::try_from(&empty).unwrap();
            assert_eq!((back.nrows(), back.ncols()), (shape[0], shape[1]));
            assert_eq!(Tensor::from(back), empty);
            assert_eq!(Tensor::from(Mat::<f64>::try_from(&empty).unwrap()), empty);
        }
        refused(DMatrix::<f64>::try_from(Tensor::from([1.0])), &["nalgebra", "2 axes", "[1]"]);
        refused(DVector::<f64>::try_from(&x), &["1 axes"]);
        refused(DMatrix::<f32>::try_from(&x), &["f32"]);
    }

    #[test]
    fn vectors_of_nalgebra_are_moved() {
        let v = DVector::from_vec(vec![1u8, 2, 3]);
        let place = v.as_ptr();
        let x = Tensor::from(v);
        assert_eq!((address(&x), x.shape()), (place, &Shape::from([3])));
        assert_eq!(DVector::<u8>::try_from(x).unwrap().as_ptr(), place);
    }

    #[test]
    fn of_faer() {
        let m = mat![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]];
        let x = Tensor::from([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
        assert_eq!((Tensor::from(&m), Tensor::from(m.clone())), (x.clone(), x.clone()));
        assert_eq!(Tensor::from(m.transpose()), x.t());
        assert_eq!(Mat::<f64>::try_from(&x).unwrap(), m);
        let host = x.to_array().unwrap();
        assert_eq!(interop::faer::view::<f64>(&host).unwrap().as_ptr(), address(&x));
        refused(interop::faer::view::<f32>(&host), &["faer", "f32"]);
        refused(Mat::<f64>::try_from(Tensor::from(1.0)), &["2 axes"]);
    }
}

#[test]
fn numbers_of_half_keep_their_memory() {
    use half::{bf16, f16};
    let v: Vec<f16> = [1.5, -0.0, 65504.0, f32::INFINITY].map(f16::from_f32).to_vec();
    let (copy, place) = (v.clone(), v.as_ptr().cast::<F16>());
    assert_eq!(Tensor::from(v.as_slice()), Tensor::from(copy.clone()));
    let x = Tensor::from(v);
    assert_eq!((address(&x), x.dtype()), (place, DType::F16));
    let back: Vec<f16> = x.try_into().unwrap();
    assert_eq!((back.as_ptr().cast::<F16>(), &back), (place, &copy));
    assert_eq!(Tensor::from(bf16::from_f32(-2.0)), Tensor::from(Bf16::from_f32(-2.0)));
    refused(Vec::<bf16>::try_from(Tensor::from(copy)), &["f16", "bf16"]);
    for bits in 0..=u16::MAX {
        assert_eq!(f16::from(F16::from(f16::from_bits(bits))).to_bits(), bits);
        assert_eq!(bf16::from(Bf16::from(bf16::from_bits(bits))).to_bits(), bits);
        let (ours, theirs) = (F16(bits).to_f32(), f16::from_bits(bits).to_f32());
        assert!(ours == theirs || ours.is_nan() && theirs.is_nan());
    }
}

#[test]
fn images_are_moved() {
    use image::{DynamicImage, GrayImage, ImageBuffer, Luma, Rgb, RgbImage};
    let image = RgbImage::from_fn(3, 2, |x, y| Rgb([x as u8, y as u8, 7]));
    let moved = image.clone();
    let place = moved.as_raw().as_ptr();
    let x = Tensor::from(moved);
    assert_eq!((address(&x), x.shape()), (place, &Shape::from([2, 3, 3])));
    assert_eq!(x.at(1).at(2), Tensor::from([2u8, 1, 7]));
    assert_eq!(RgbImage::try_from(x.clone()).unwrap(), image);
    refused(GrayImage::try_from(x.clone()), &["1 channels", "[2, 3, 3]"]);
    refused(ImageBuffer::<Rgb<f32>, Vec<f32>>::try_from(x.clone()), &["u8", "f32"]);
    refused(GrayImage::try_from(Tensor::from([1u8])), &["3 axes"]);
    let grey = GrayImage::try_from(x.slice(2, 0..1).squeeze(2)).unwrap();
    assert_eq!((grey.dimensions(), grey[(2, 0)]), ((3, 2), Luma([2])));
    assert_eq!(Tensor::try_from(DynamicImage::ImageRgb8(image)).unwrap(), x);
    refused(Tensor::try_from(DynamicImage::new_luma16(1, 1)), &["to_rgb8"]);
}

mod data {
    use super::*;

    fn tensors() -> Vec<Tensor> {
        vec![
            Tensor::from([[1.0, f64::NAN, f64::INFINITY], [-f64::INFINITY, -0.0, 5e-324]]),
            Tensor::from([0.1f32, f32::MAX, 16777216.0, f32::NAN]),
            Tensor::from([i64::MAX, i64::MIN, (1 << 53) + 1]),
            Tensor::from([i32::MIN, 7]),
            Tensor::from([true, false]),
            Tensor::from([0u8, 255]),
            Tensor::from([F16::from_f32(0.1), F16::from_f32(f32::NEG_INFINITY)]),
            Tensor::from([Bf16::from_f32(0.1), Bf16::from_f32(3e38)]),
            Tensor::from(2.5),
            Tensor::zeros([0, 3], DType::F32),
        ]
    }

    fn same(a: &Tensor, b: &Tensor) {
        assert_eq!(format!("{a:?}"), format!("{b:?}"));
    }

    #[test]
    fn formats_for_people() {
        for x in tensors() {
            let text = serde_json::to_string(&x).unwrap();
            same(&serde_json::from_str(&text).unwrap(), &x);
        }
        let x = Tensor::from([1.0f32, f32::NAN]);
        let text = r#"{"dtype":"f32","shape":[2],"elements":[1.0,"NaN"]}"#;
        assert_eq!(serde_json::to_string(&x).unwrap(), text);
        let another = r#"{"elements": [1, 2.5], "shape": [2, 1], "dtype": "f64"}"#;
        same(&serde_json::from_str(another).unwrap(), &Tensor::from([[1.0], [2.5]]));
        assert_eq!(serde_json::to_string(&DType::Bf16).unwrap(), r#""bf16""#);
        assert_eq!(serde_json::from_str::<Shape>("[2,3]").unwrap(), Shape::from([2, 3]));
    }

    #[test]
    fn compact_formats() {
        for x in tensors() {
            let bytes = postcard::to_allocvec(&x).unwrap();
            assert!(bytes.len() <= x.size() * x.dtype().size() + 16);
            same(&postcard::from_bytes(&bytes).unwrap(), &x);
            for cut in 0..bytes.len() {
                assert!(postcard::from_bytes::<Tensor>(&bytes[..cut]).is_err());
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let read = |dtype: &str, shape: &str, elements: &str| {
            let text = format!(r#"{{"dtype":"{dtype}","shape":{shape},"elements":{elements}}}"#);
            serde_json::from_str::<Tensor>(&text)
        };
        refused(read("f64", "[3]", "[1.0]"), &["[3]", "1 were given"]);
        refused(read("f65", "[1]", "[1.0]"), &["`f65` is no dtype", "bf16"]);
        refused(read("i32", "[2]", "[1, 2147483648]"), &["element 1", "i32"]);
        refused(read("u8", "[1]", "[-1]"), &["element 0", "u8"]);
        refused(read("i64", "[1]", "[1.5]"), &["element 0"]);
        refused(read("bool", "[1]", "[1]"), &["element 0"]);
        refused(read("f32", "[1]", "[1e300]"), &["element 0"]);
        refused(read("f32", "[1]", r#"["one"]"#), &["one"]);
        refused(read("f32", "[18446744073709551615, 4]", "[]"), &["too large"]);
        refused(read("f32", "[-1]", "[]"), &["-1"]);
        assert!(read("f32", "[1]", "[null]").is_err());
        assert!(serde_json::from_str::<Tensor>(r#"{"dtype":"f32","shape":[0]}"#).is_err());
    }
}

mod files {
    use super::*;
    use std::io::Cursor;

    macro_rules! file {
        ($name:literal) => {
            include_bytes!(concat!("npy/", $name)).as_slice()
        };
    }

    fn read(bytes: &[u8]) -> npy::Result<Tensor> {
        npy::read(bytes, bytes.len() as u64)
    }

    fn written(x: &Tensor) -> Vec<u8> {
        let mut bytes = Vec::new();
        npy::write(&mut bytes, x).unwrap();
        bytes
    }

    #[test]
    fn what_numpy_writes_is_read() {
        let x = Tensor::from([[0.0, 0.25, 0.5], [0.75, 1.0, 1.25]]);
        assert_eq!(read(file!("f8.npy")).unwrap(), x);
        assert_eq!(read(file!("fortran.npy")).unwrap(), x);
        assert_eq!(read(file!("big.npy")).unwrap(), x.cast(DType::F32));
        assert_eq!(read(file!("scalar.npy")).unwrap(), Tensor::from(-7i64));
        assert_eq!(read(file!("empty.npy")).unwrap(), Tensor::zeros([0, 3], DType::F32));
        let planes = Tensor::arange(24, DType::I32).reshape([2, 3, 4]);
        assert_eq!(read(file!("planes.npy")).unwrap(), planes);
        let stored = npy::read_npz(Cursor::new(file!("stored.npz"))).unwrap();
        assert_eq!(stored.keys().collect::<Vec<_>>(), ["bytes", "flags", "half", "x"]);
        assert_eq!((&stored["x"], &stored["flags"]), (&x, &Tensor::from([true, false])));
        assert_eq!(stored["half"], Tensor::from([F16::from_f32(1.5), F16::from_f32(-2.0)]));
        assert_eq!(stored["bytes"], Tensor::from([1u8, 255]));
        let deflated = npy::read_npz(Cursor::new(file!("deflated.npz"))).unwrap();
        assert_eq!(deflated["x"], Tensor::zeros([64, 64], DType::F64));
        assert_eq!(deflated["i"], Tensor::arange(100, DType::I64));
    }

    #[test]
    fn what_is_written_is_what_numpy_writes() {
        for bytes in [file!("f8.npy"), file!("scalar.npy"), file!("empty.npy")] {
            assert_eq!(written(&read(bytes).unwrap()), bytes);
        }
        for dtype in DType::ALL {
            let x = Tensor::from([[0.0, 1.0], [1.0, 0.0]]).cast(dtype);
            if dtype == DType::Bf16 {
                refused(npy::write(Vec::new(), &x), &["bf16", "cast"]);
            } else {
                assert_eq!(read(&written(&x)).unwrap(), x);
            }
        }
        let (x, y) = (Tensor::from([1.0]), Tensor::from([[1i32, 2]]));
        let mut archive = Cursor::new(Vec::new());
        npy::write_npz(&mut archive, [("x", &x), ("layer.y", &y)]).unwrap();
        let back = npy::read_npz(archive).unwrap();
        assert_eq!((&back["x"], &back["layer.y"], back.len()), (&x, &y, 2));
    }

    #[test]
    fn refusals_say_what_to_do() {
        let python = |name: &[u8], line: &str| refused(read(name), &[line, "Python"]);
        python(file!("objects.npy"), "np.array(a.tolist(), dtype=np.float64)");
        python(file!("complex.npy"), "np.stack([a.real, a.imag], -1)");
        python(file!("words.npy"), "strings");
        python(file!("u16.npy"), "a.astype(np.int64)");
        python(file!("records.npy"), "a.dtype.names");
        python(file!("times.npy"), "a.astype(np.int64)");
        refused(npy::load("no such file.npy"), &["cannot read no such file.npy"]);
        let x = Tensor::from(1.0);
        refused(npy::save("no such folder/x.npy", &x), &["cannot write no such folder/x.npy"]);
    }

    #[test]
    fn files_that_lie() {
        let whole = file!("planes.npy");
        for cut in 0..whole.len() {
            assert!(read(&whole[..cut]).is_err(), "{cut}");
        }
        refused(read(&[whole, &[0]].concat()), &["97 follow"]);
        // Sizes that no file has: nothing is allocated for them.
        for shape in [
            "(9999999999999, )",
            "(4294967296, 4294967296, 4294967296, )",
            "(18446744073709551616, )",
            "(-1, )",
        ] {
            let text = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}");
            let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
            bytes.extend((text.len() as u16).to_le_bytes());
            bytes.extend(text.as_bytes());
            assert!(read(&bytes).is_err(), "{shape}");
        }
        refused(read(b"\x93NUMPY\x02\x00\xff\xff\xff\xff{'descr'"), &["4294967295"]);
        // Every byte of the header, and of an archive, changed in several ways: an error or an array, never a panic.
        for at in 0..whole.len() - 96 {
            for change in [1, 2, 0x10, 0x80, 0xff] {
                let mut bytes = whole.to_vec();
                bytes[at] ^= change;
                let _ = read(&bytes);
            }
        }
        for archive in [file!("stored.npz"), file!("deflated.npz")] {
            for at in 0..archive.len() {
                for change in [1, 0x10, 0x80, 0xff] {
                    let mut bytes = archive.to_vec();
                    bytes[at] ^= change;
                    let _ = npy::read_npz(Cursor::new(bytes));
                }
            }
            for cut in 0..archive.len() {
                assert!(npy::read_npz(Cursor::new(&archive[..cut])).is_err());
            }
        }
    }
}
