//! Host arrays: a shape and its elements in row-major order, shared until written.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::dtype::{Bf16, CastTo, F16};
use crate::memory::{self, COUNTED, Held};
use crate::{DType, ErrorKind, Shape};

/// Elements in memory that may be recycled: its allocator says what to do with it once it has no owner left.
pub struct Elements<T> {
    elements: Vec<T>,
    recycle: Option<fn(Vec<T>)>,
}

impl<T> Elements<T> {
    /// Elements whose memory is passed to `recycle` when they are dropped.
    pub fn with_recycling(elements: Vec<T>, recycle: fn(Vec<T>)) -> Self {
        let mut elements = Elements::from(elements);
        elements.recycle = Some(recycle);
        elements
    }

    /// The elements alone, whose memory is no longer recycled.
    pub fn into_vec(mut self) -> Vec<T> {
        self.recycle = None;
        self.release()
    }

    /// Takes the elements out and stops counting them.
    fn release(&mut self) -> Vec<T> {
        let bytes = self.elements.capacity() * size_of::<T>();
        if bytes >= COUNTED {
            memory::sub(Held::Tensors, bytes);
        }
        std::mem::take(&mut self.elements)
    }
}

impl<T> From<Vec<T>> for Elements<T> {
    fn from(elements: Vec<T>) -> Self {
        let bytes = elements.capacity() * size_of::<T>();
        if bytes >= COUNTED {
            memory::add(Held::Tensors, bytes);
        }
        Elements { elements, recycle: None }
    }
}

impl<T> Drop for Elements<T> {
    fn drop(&mut self) {
        let elements = self.release();
        if let Some(recycle) = self.recycle {
            recycle(elements);
        }
    }
}

impl<T: Clone> Clone for Elements<T> {
    /// The copy is not recycled.
    fn clone(&self) -> Self {
        self.elements.clone().into()
    }
}

impl<T: PartialEq> PartialEq for Elements<T> {
    fn eq(&self, other: &Self) -> bool {
        self.elements == other.elements
    }
}

impl<T> Deref for Elements<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.elements
    }
}

impl<T> DerefMut for Elements<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.elements
    }
}

/// The elements of an [`Array`], by dtype.
#[derive(Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Buffer {
    F32(Arc<Elements<f32>>),
    F64(Arc<Elements<f64>>),
    I32(Arc<Elements<i32>>),
    I64(Arc<Elements<i64>>),
    Bool(Arc<Elements<bool>>),
    U8(Arc<Elements<u8>>),
    Bf16(Arc<Elements<Bf16>>),
    F16(Arc<Elements<F16>>),
}

/// Runs an expression with the typed elements of a [`Buffer`] bound to a name.
#[macro_export]
macro_rules! with_elements {
    ($buffer:expr, $v:ident => $body:expr) => {
        match $buffer {
            $crate::Buffer::F32($v) => $body,
            $crate::Buffer::F64($v) => $body,
            $crate::Buffer::I32($v) => $body,
            $crate::Buffer::I64($v) => $body,
            $crate::Buffer::Bool($v) => $body,
            $crate::Buffer::U8($v) => $body,
            $crate::Buffer::Bf16($v) => $body,
            $crate::Buffer::F16($v) => $body,
        }
    };
}

/// A Rust type that a tensor can hold.
///
/// It is implemented for the types of [`Buffer`] and for no others: kernels rely on a buffer's having the elements that
/// were wrapped.
pub trait Element: sealed::Sealed + Copy + Default + PartialEq + Send + Sync + fmt::Debug + 'static {
    /// Its dtype.
    const DTYPE: DType;
    /// Wraps elements.
    fn wrap(elements: Vec<Self>) -> Buffer {
        Self::share(elements.into())
    }
    /// Wraps elements in memory that may be recycled.
    fn share(elements: Elements<Self>) -> Buffer;
    /// The elements, if the buffer holds this type.
    fn slice(buffer: &Buffer) -> Option<&[Self]>;
    /// The elements for writing, copied first if they are shared.
    fn slice_mut(buffer: &mut Buffer) -> Option<&mut [Self]>;
    /// The elements, if the buffer holds this type: moved out, or copied if they are shared.
    fn take(buffer: Buffer) -> Option<Vec<Self>>;
    /// Appends its bytes, little endian.
    fn put_le_bytes(self, out: &mut Vec<u8>);
    /// The element of these bytes, little endian, if they are those of one.
    fn from_le_slice(bytes: &[u8]) -> Option<Self>;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! elements {
    ($($t:ty => $v:ident, |$x:ident| $bytes:expr, |$from:ident| $of:expr;)+) => { $(
        impl sealed::Sealed for $t {}
        impl Element for $t {
            const DTYPE: DType = DType::$v;
            fn share(elements: Elements<Self>) -> Buffer { Buffer::$v(Arc::new(elements)) }
            fn slice(buffer: &Buffer) -> Option<&[Self]> {
                if let Buffer::$v(v) = buffer { Some(v) } else { None }
            }
            fn slice_mut(buffer: &mut Buffer) -> Option<&mut [Self]> {
                if let Buffer::$v(v) = buffer { Some(&mut **Arc::make_mut(v)) } else { None }
            }
            fn take(buffer: Buffer) -> Option<Vec<Self>> {
                if let Buffer::$v(v) = buffer { Some(Arc::unwrap_or_clone(v).into_vec()) } else { None }
            }
            fn put_le_bytes(self, out: &mut Vec<u8>) {
                let $x = self;
                out.extend($bytes);
            }
            fn from_le_slice(bytes: &[u8]) -> Option<Self> {
                let $from = bytes.try_into().ok()?;
                $of
            }
        }
    )+ };
}
elements! {
    f32 => F32, |x| x.to_le_bytes(), |bytes| Some(f32::from_le_bytes(bytes));
    f64 => F64, |x| x.to_le_bytes(), |bytes| Some(f64::from_le_bytes(bytes));
    i32 => I32, |x| x.to_le_bytes(), |bytes| Some(i32::from_le_bytes(bytes));
    i64 => I64, |x| x.to_le_bytes(), |bytes| Some(i64::from_le_bytes(bytes));
    u8 => U8, |x| [x], |bytes| Some(u8::from_le_bytes(bytes));
    bool => Bool, |x| [u8::from(x)], |byte| u8::from_le_bytes(byte).lt(&2).then(|| byte == [1]);
    Bf16 => Bf16, |x| x.0.to_le_bytes(), |bytes| Some(Bf16(u16::from_le_bytes(bytes)));
    F16 => F16, |x| x.0.to_le_bytes(), |bytes| Some(F16(u16::from_le_bytes(bytes)));
}

/// A row-major array of run-time dtype. Cloning shares the elements.
#[derive(Clone, PartialEq)]
pub struct Array {
    shape: Shape,
    buffer: Buffer,
}

impl Array {
    /// An array from its elements in row-major order.
    ///
    /// # Errors
    /// If the number of elements is not the product of the extents, or the shape is
    /// [too large](ErrorKind::TooLarge) for any tensor.
    pub fn new<T: Element>(shape: impl Into<Shape>, elements: Vec<T>) -> Result<Self, ErrorKind> {
        Array::with_memory(shape, elements.into())
    }

    /// As [`new`](Self::new), from elements in memory that may be recycled.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn with_memory<T: Element>(
        shape: impl Into<Shape>,
        elements: Elements<T>,
    ) -> Result<Self, ErrorKind> {
        let shape = shape.into();
        // A shape with as many elements as are in memory is not too large, unless there are none.
        let differs = shape.size() != elements.len();
        let shape = if differs || elements.is_empty() { shape.checked("array")? } else { shape };
        if differs {
            return Err(ErrorKind::Argument {
                op: "array",
                detail: format!(
                    "shape {shape} holds {} elements, but {} were given",
                    shape.size(),
                    elements.len()
                ),
            });
        }
        Ok(Array { shape, buffer: T::share(elements) })
    }

    /// An array whose element count the caller has already made to fit.
    pub(crate) fn of<T: Element>(shape: Shape, elements: Vec<T>) -> Self {
        assert_eq!(shape.size(), elements.len(), "a primitive returns as many elements as its shape has");
        Array { shape, buffer: T::wrap(elements) }
    }

    /// A scalar.
    pub fn scalar<T: Element>(value: T) -> Self {
        Array { shape: Shape::scalar(), buffer: T::wrap(vec![value]) }
    }

    /// An array of one repeated value, converted to `dtype`.
    ///
    /// # Panics
    /// If no tensor can have the shape, or there is no memory for it: [`try_full`](Self::try_full) tells.
    #[track_caller]
    pub fn full(shape: impl Into<Shape>, dtype: DType, value: f64) -> Self {
        Array::try_full(shape, dtype, value).unwrap_or_else(|kind| panic!("{kind}"))
    }

    /// As [`full`](Self::full).
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] if no tensor can have the shape, [`ErrorKind::Memory`] if there is no memory for it.
    pub fn try_full(shape: impl Into<Shape>, dtype: DType, value: f64) -> Result<Self, ErrorKind> {
        fn equal<T: Element>(n: usize, value: T) -> Result<Buffer, ErrorKind> {
            Ok(T::wrap(memory::filled("full", n, value)?))
        }
        let shape = shape.into().checked("full")?;
        let n = shape.size();
        let buffer = match dtype {
            DType::F32 => equal(n, value as f32),
            DType::F64 => equal(n, value),
            DType::I32 => equal(n, value as i32),
            DType::I64 => equal(n, value as i64),
            DType::Bool => equal(n, value != 0.0),
            DType::U8 => equal(n, value as u8),
            DType::Bf16 => equal(n, Bf16::from(value)),
            DType::F16 => equal(n, F16::from(value)),
        }?;
        Ok(Array { shape, buffer })
    }

    /// The shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }
    /// Number of elements.
    pub fn size(&self) -> usize {
        self.shape.size()
    }
    /// The dtype.
    pub fn dtype(&self) -> DType {
        match &self.buffer {
            Buffer::F32(_) => DType::F32,
            Buffer::F64(_) => DType::F64,
            Buffer::I32(_) => DType::I32,
            Buffer::I64(_) => DType::I64,
            Buffer::Bool(_) => DType::Bool,
            Buffer::U8(_) => DType::U8,
            Buffer::Bf16(_) => DType::Bf16,
            Buffer::F16(_) => DType::F16,
        }
    }
    /// Bytes of the elements.
    pub fn bytes(&self) -> usize {
        self.size() * self.dtype().size()
    }
    /// The elements by dtype.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }
    /// The elements by dtype, owned.
    pub fn into_buffer(self) -> Buffer {
        self.buffer
    }

    /// The elements, if they are of type `T`.
    pub fn elements<T: Element>(&self) -> Option<&[T]> {
        T::slice(&self.buffer)
    }

    /// The elements for writing, if they are of type `T`; copied first if another array shares them.
    pub fn elements_mut<T: Element>(&mut self) -> Option<&mut [T]> {
        T::slice_mut(&mut self.buffer)
    }

    /// The elements, if they are of type `T`: moved out, or copied if another array shares them.
    ///
    /// ```
    /// let array = gradus_core::Array::new([2], vec![1.0, 2.0])?;
    /// assert_eq!(array.clone().into_elements::<f32>(), None);
    /// assert_eq!(array.into_elements::<f64>(), Some(vec![1.0, 2.0]));
    /// # Ok::<(), gradus_core::ErrorKind>(())
    /// ```
    pub fn into_elements<T: Element>(self) -> Option<Vec<T>> {
        T::take(self.buffer)
    }

    /// The same elements under another shape of the same size.
    ///
    /// # Errors
    /// If the other shape has another number of elements, or is [too large](ErrorKind::TooLarge) for any tensor.
    pub fn reshaped(&self, shape: impl Into<Shape>) -> Result<Self, ErrorKind> {
        let shape = shape.into().checked("reshape")?;
        same_size(&self.shape, &shape)?;
        Ok(Array { shape, buffer: self.buffer.clone() })
    }

    /// The elements converted to `dtype`.
    pub fn cast(&self, dtype: DType) -> Self {
        fn convert<S: Element + CastTo<T>, T: Element>(v: &[S]) -> Buffer {
            T::wrap(converted("cast", v))
        }
        if self.dtype() == dtype {
            return self.clone();
        }
        let buffer = with_elements!(&self.buffer, v => match dtype {
            DType::F32 => convert::<_, f32>(v),
            DType::F64 => convert::<_, f64>(v),
            DType::I32 => convert::<_, i32>(v),
            DType::I64 => convert::<_, i64>(v),
            DType::Bool => convert::<_, bool>(v),
            DType::U8 => convert::<_, u8>(v),
            DType::Bf16 => convert::<_, Bf16>(v),
            DType::F16 => convert::<_, F16>(v),
        });
        Array { shape: self.shape.clone(), buffer }
    }

    /// Whether every element is zero.
    pub fn is_zero(&self) -> bool {
        with_elements!(self.buffer(), v => v.iter().all(|&x| !CastTo::<bool>::cast(x)))
    }

    /// The elements as `f64`, for tests, printing and reading.
    pub fn to_f64(&self) -> Vec<f64> {
        with_elements!(&self.buffer, v => converted("to_f64", v))
    }

    /// The elements as `i64`.
    pub fn to_i64(&self) -> Vec<i64> {
        with_elements!(&self.buffer, v => converted("to_i64", v))
    }
}

/// The elements as another type.
///
/// # Panics
/// If there is no memory for them.
fn converted<S: Copy + CastTo<T>, T>(op: &'static str, elements: &[S]) -> Vec<T> {
    let mut out = memory::with_capacity(op, elements.len()).unwrap_or_else(|kind| panic!("{kind}"));
    out.extend(elements.iter().map(|&x| x.cast()));
    out
}

/// Checks that elements of one shape can be arranged as another.
pub(crate) fn same_size(from: &Shape, to: &Shape) -> Result<(), ErrorKind> {
    if from.size() == to.size() {
        return Ok(());
    }
    let detail = format!("{} elements cannot be arranged as {}", from.size(), to.size());
    Err(ErrorKind::Shape { op: "reshape", shapes: vec![from.clone(), to.clone()], detail })
}

impl fmt::Debug for Array {
    /// The elements as `{}` shows them, then dtype and shape.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)?;
        write!(f, " {}{}", self.dtype(), self.shape)
    }
}

/// Arrays of more elements are shown in part.
const SHOWN: usize = 1000;
/// How many elements are shown at either end of an axis then.
const EDGE: usize = 3;

impl fmt::Display for Array {
    /// A number, or nested brackets; arrays of more than a thousand elements are cut in the middle of their axes. A precision
    /// (`{:.3}`) is that of each float.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let precision = f.precision();
        match &self.buffer {
            Buffer::Bf16(v) => self.elementwise(f, v, &float(precision)),
            Buffer::F16(v) => self.elementwise(f, v, &float(precision)),
            Buffer::F32(v) => self.elementwise(f, v, &float(precision)),
            Buffer::F64(v) => self.elementwise(f, v, &float(precision)),
            Buffer::I32(v) => self.elementwise(f, v, &i32::to_string),
            Buffer::I64(v) => self.elementwise(f, v, &i64::to_string),
            Buffer::Bool(v) => self.elementwise(f, v, &bool::to_string),
            Buffer::U8(v) => self.elementwise(f, v, &u8::to_string),
        }
    }
}

impl fmt::LowerExp for Array {
    /// As `{}`, with floats by exponent: `{:.2e}` has two digits after the point.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let precision = f.precision();
        match &self.buffer {
            Buffer::Bf16(v) => self.elementwise(f, v, &exponent(precision)),
            Buffer::F16(v) => self.elementwise(f, v, &exponent(precision)),
            Buffer::F32(v) => self.elementwise(f, v, &exponent(precision)),
            Buffer::F64(v) => self.elementwise(f, v, &exponent(precision)),
            Buffer::I32(_) | Buffer::I64(_) | Buffer::Bool(_) | Buffer::U8(_) => fmt::Display::fmt(self, f),
        }
    }
}

impl Array {
    /// Writes the elements in brackets, each as `show` does.
    fn elementwise<T>(
        &self,
        f: &mut fmt::Formatter<'_>,
        elements: &[T],
        show: &dyn Fn(&T) -> String,
    ) -> fmt::Result {
        write_axis(f, &self.shape, elements, (0, self.shape.size() > SHOWN), show)
    }
}

/// Writes the elements of a shape in brackets, `depth` of which are open; where they are to be cut, those at the edges of
/// each axis.
fn write_axis<T>(
    f: &mut fmt::Formatter<'_>,
    shape: &[usize],
    v: &[T],
    (depth, cut): (usize, bool),
    show: &dyn Fn(&T) -> String,
) -> fmt::Result {
    let Some((&extent, rest)) = shape.split_first() else { return f.write_str(&show(&v[0])) };
    let step = rest.iter().product::<usize>();
    let next = if rest.is_empty() { ", ".into() } else { format!(",\n{}", " ".repeat(depth + 1)) };
    let left_out = if cut && extent > 2 * EDGE { EDGE..extent - EDGE } else { 0..0 };
    f.write_str("[")?;
    for i in (0..extent).filter(|i| !left_out.contains(i)) {
        if i > 0 {
            f.write_str(&next)?;
        }
        if i > 0 && i == left_out.end {
            write!(f, "…{next}")?;
        }
        write_axis(f, rest, &v[i * step..(i + 1) * step], (depth + 1, cut), show)?;
    }
    f.write_str("]")
}

/// A float by exponent, in as few digits as tell it from others or with a precision.
fn exponent<T: fmt::LowerExp>(precision: Option<usize>) -> impl Fn(&T) -> String {
    move |x| match precision {
        Some(p) => format!("{x:.p$e}"),
        None => format!("{x:e}"),
    }
}

/// A float with its point, in as few digits as tell it from others; very large and very small ones by exponent.
fn float<T: fmt::Display + fmt::LowerExp + Copy + Into<f64>>(
    precision: Option<usize>,
) -> impl Fn(&T) -> String {
    move |&x| {
        let size = x.into().abs();
        match precision {
            Some(p) => format!("{x:.p$}"),
            None if size != 0.0 && size.is_finite() && !(1e-4..1e7).contains(&size) => format!("{x:e}"),
            None if size.fract() == 0.0 => format!("{x}.0"),
            None => format!("{x}"),
        }
    }
}
