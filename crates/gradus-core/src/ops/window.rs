//! Pooling: the maximum and the sum over windows of the last axes.

use smallvec::{SmallVec, smallvec};

use crate::graph::Vars;
use crate::ops::conv::dilated;
use crate::ops::movement::moved;
use crate::ops::{Axes, Gather, Pad, Reshape, Slice, batch_all, jvp_linear};
use crate::primitive::{Arrays, Tangents, Types, not_linear};
use crate::strided::for_each;
use crate::transforms::Lanes;
use crate::{
    Array, Batched, Buffer, Builder, Cost, DType, Doc, Element, ErrorKind, Jvp, Operand, Primitive, Result,
    Shape, Type, Var,
};

/// Windows over the last axes of a tensor; all axes before them are left as they are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Extent of the window along each axis.
    pub size: Axes,
    /// Step between windows.
    pub stride: Axes,
    /// Padding before the first element, outside of which there is nothing.
    pub low: Axes,
    /// Padding after the last.
    pub high: Axes,
    /// Distance of neighbours in a window.
    pub dilation: Axes,
}

impl Window {
    /// Windows of a size, one beside the other, without padding.
    pub fn tiles(size: &[usize]) -> Self {
        let fill = |n| SmallVec::from_elem(n, size.len());
        Window { size: size.into(), stride: size.into(), low: fill(0), high: fill(0), dilation: fill(1) }
    }

    /// Number of axes windowed over.
    pub fn dims(&self) -> usize {
        self.size.len()
    }

    /// The axes before those windowed over, and those.
    fn parts<'a>(&self, shape: &'a Shape) -> (&'a [usize], &'a [usize]) {
        shape.split_at(shape.rank() - self.dims())
    }

    /// The shape of the result.
    fn infer(&self, op: &'static str, ty: &Type) -> Result<Shape, ErrorKind> {
        let argument = |detail: String| Err(ErrorKind::Argument { op, detail });
        let dims = self.dims();
        if [&self.stride, &self.low, &self.high, &self.dilation].iter().any(|v| v.len() != dims) {
            return argument(format!("stride, padding and dilation must all have {dims} entries"));
        }
        if self.size.iter().chain(&self.stride).chain(&self.dilation).any(|&n| n == 0) {
            return argument("window, stride and dilation must be at least 1".into());
        }
        if ty.shape.rank() < dims {
            return argument(format!("windows over {dims} axes do not fit a tensor of shape {}", ty.shape));
        }
        let (lead, spatial) = self.parts(&ty.shape);
        let (mut shape, mut all) = (Shape::from(lead), Shape::from(lead));
        for (d, &from) in spatial.iter().enumerate() {
            let padded = from.saturating_add(self.low[d]).saturating_add(self.high[d]);
            let span = dilated(self.size[d], self.dilation[d]);
            all = all.concat(&[padded]);
            if padded < span {
                return argument(format!(
                    "a window spans {span} elements, but axis {} of {} has {padded} with its padding; \
                     use a smaller window or pad by {} more",
                    lead.len() + d,
                    ty.shape,
                    span - padded
                ));
            }
            shape = shape.concat(&[((padded - span) / self.stride[d]).saturating_add(1)]);
        }
        // Every place that a window can ask for lies in the padded tensor.
        all.checked(op)?;
        shape.checked(op)
    }

    /// The windows along axis `d`, which has `extent` elements.
    fn along(&self, d: usize, extent: usize) -> WindowsAlong {
        let [size, stride, low, dilation] =
            [&self.size, &self.stride, &self.low, &self.dilation].map(|parameter| parameter[d]);
        WindowsAlong { size, stride, low, dilation, extent }
    }

    /// Calls `f(row, window, flat spatial index)` for every element of every window, windows in order.
    fn visit(&self, x: &Shape, out: &Shape, mut f: impl FnMut(usize, usize, usize)) {
        if x.size() == 0 || out.size() == 0 {
            return;
        }
        let (lead, spatial) = self.parts(x);
        let (_, places) = self.parts(out);
        let rows: usize = lead.iter().product();
        let (strides, steps) = (Shape::from(spatial).strides(), Shape::from(places).strides());
        let count: usize = places.iter().product();
        for place in 0..count {
            let axis = |d: usize| place / steps[d] as usize % places[d];
            let inside: Vec<Vec<usize>> =
                (0..self.dims()).map(|d| self.along(d, spatial[d]).elements(axis(d)).collect()).collect();
            let shape: Shape = inside.iter().map(Vec::len).collect();
            let counter = shape.strides();
            for_each(&shape, 0, &SmallVec::<[isize; 4]>::from_elem(0, self.dims()), |i, _| {
                let at = |d: usize| inside[d][i / counter[d] as usize % shape[d]] * strides[d] as usize;
                let flat = (0..self.dims()).map(at).sum();
                for row in 0..rows {
                    f(row, row * count + place, flat);
                }
            });
        }
    }
}

/// Windows along one axis, where they fit: which taps of them meet elements and not padding.
///
/// Found by arithmetic, because a window may have any number of taps in its padding.
#[derive(Clone, Copy, Debug)]
pub struct WindowsAlong {
    /// Taps of a window.
    pub size: usize,
    /// Step between windows.
    pub stride: usize,
    /// Padding before the first element.
    pub low: usize,
    /// Distance between taps.
    pub dilation: usize,
    /// Elements.
    pub extent: usize,
}

impl WindowsAlong {
    /// The taps of window `p` that meet elements.
    ///
    /// ```
    /// use gradus_core::ops::WindowsAlong;
    /// let windows = WindowsAlong { size: 3, stride: 2, low: 1, dilation: 1, extent: 4 };
    /// assert_eq!([windows.taps(0), windows.taps(1)], [1..3, 0..3]);
    /// ```
    pub fn taps(&self, p: usize) -> std::ops::Range<usize> {
        let start = p * self.stride;
        let first = self.low.saturating_sub(start).div_ceil(self.dilation);
        let end = (self.low + self.extent).saturating_sub(start).div_ceil(self.dilation).min(self.size);
        first.min(end)..end
    }

    /// The elements that window `p` holds.
    pub fn elements(self, p: usize) -> impl Iterator<Item = usize> {
        self.taps(p).map(move |k| p * self.stride + k * self.dilation - self.low)
    }

    /// Whether each of the first `count` windows holds an element.
    pub fn all_hold_elements(&self, count: usize) -> bool {
        let holds = |p: usize| !self.taps(p).is_empty();
        // What the first and the last do, those between do as well, unless all elements lie between two taps.
        let between = if self.extent < self.dilation { count.min(self.low.div_ceil(self.stride)) } else { 0 };
        count == 0 || (holds(0) && holds(count - 1) && (0..between).all(holds))
    }
}

/// The largest element of every window, and where it is: `(values, indices)`, the indices `i32` into the windowed
/// axes taken as one. The first of equal elements counts; a NaN counts as the largest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MaxPool {
    /// The windows.
    pub window: Window,
}

/// The sum of every window; padding counts as zero.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SumPool {
    /// The windows.
    pub window: Window,
}

impl MaxPool {
    fn pool<T: Element + PartialOrd>(&self, x: &Array, v: &[T], shape: &Shape) -> Arrays {
        let size: usize = self.window.parts(x.shape()).1.iter().product();
        let mut values = vec![T::default(); shape.size()];
        let mut indices = vec![-1i32; shape.size()];
        self.window.visit(x.shape(), shape, |row, to, flat| {
            let (new, best) = (v[row * size + flat], values[to]);
            #[allow(clippy::eq_op)] // only NaN differs from itself
            let wins = indices[to] < 0 || (best == best && (new > best || new != new));
            if wins {
                (values[to], indices[to]) = (new, flat as i32);
            }
        });
        smallvec![Array::of(shape.clone(), values), Array::of(shape.clone(), indices)]
    }
}

fn check_dtype(op: &'static str, ty: &Type) -> Result<(), ErrorKind> {
    if ty.dtype.is_float() || ty.dtype.is_int() {
        return Ok(());
    }
    let detail = "it takes floats or integers; cast first".into();
    Err(ErrorKind::DType { op, dtypes: vec![ty.dtype], detail })
}

fn shape_of(op: &'static str, window: &Window, x: &Array) -> Result<Shape, ErrorKind> {
    window.infer(op, &Type::new(x.dtype(), x.shape()))
}

impl Primitive for MaxPool {
    fn doc(&self) -> Doc {
        Doc {
            name: "max_pool",
            formula: "the largest of each window, and its index",
            derivative: "dx at that index",
            domain: "all x; the first at ties, the first NaN if there is one",
        }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        let op = "max_pool";
        check_dtype(op, &inputs[0])?;
        let shape = self.window.infer(op, &inputs[0])?;
        let (lead, spatial) = self.window.parts(&inputs[0].shape);
        if spatial.iter().product::<usize>() > i32::MAX as usize {
            let detail = format!("{} has too many elements for i32 indices", inputs[0].shape);
            return Err(ErrorKind::Argument { op, detail });
        }
        for (d, &extent) in spatial.iter().enumerate() {
            if !self.window.along(d, extent).all_hold_elements(shape[lead.len() + d]) {
                let detail = format!(
                    "a window along axis {} of {} holds padding only; pad by less than the window spans",
                    lead.len() + d,
                    inputs[0].shape
                );
                return Err(ErrorKind::Argument { op, detail });
            }
        }
        Ok(smallvec![inputs[0].with_shape(op, shape.clone())?, Type::checked(op, DType::I32, shape)?])
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        let x = inputs[0];
        let shape = shape_of("max_pool", &self.window, x)?;
        Ok(match x.buffer() {
            Buffer::F32(v) => self.pool(x, v, &shape),
            Buffer::F64(v) => self.pool(x, v, &shape),
            Buffer::I32(v) => self.pool(x, v, &shape),
            Buffer::I64(v) => self.pool(x, v, &shape),
            Buffer::U8(v) => self.pool(x, v, &shape),
            Buffer::Bool(_) | Buffer::Bf16(_) | Buffer::F16(_) => {
                unreachable!("excluded by the shape rule, or wider here")
            }
        })
    }
    fn jvp(&self, b: &mut Builder, _: Jvp, inputs: &[Var], t: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        let out = b.emit(self.clone(), inputs)?;
        let Some(t) = t[0] else { return Ok((out, smallvec![None, None])) };
        // Windowed axes as one, then the tangent at each index.
        let flat = |shape: &Shape| {
            let (lead, spatial) = self.window.parts(shape);
            Shape::from(lead).concat(&[spatial.iter().product()])
        };
        let (from, to) = (b.shape(t).clone(), b.shape(out[0]).clone());
        let batch = from.rank() - self.window.dims();
        let t = b.emit1(Reshape(flat(&from)), &[t])?;
        let indices = b.emit1(Reshape(flat(&to)), &[out[1]])?;
        let t = b.emit1(Gather { axis: batch, batch, from_end: true }, &[t, indices])?;
        let t = b.emit1(Reshape(to), &[t])?;
        Ok((out, smallvec![Some(t), None]))
    }
    fn transpose(&self, _: &mut Builder, _: &[Operand], _: &[Option<Var>]) -> Result<Tangents> {
        Err(not_linear("max_pool"))
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], lanes: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        batch_all(self.clone(), b, inputs, lanes.size)
    }
    fn cost(&self, inputs: &[Type], outputs: &[Type]) -> Cost {
        let taps: usize = self.window.size.iter().product();
        Cost { flops: outputs[0].shape.size() as f64 * taps as f64, bytes: moved(inputs, outputs).bytes }
    }
}

impl Primitive for SumPool {
    fn doc(&self) -> Doc {
        Doc {
            name: "sum_pool",
            formula: "the sum of each window",
            derivative: "linear",
            domain: "all x; padding is 0",
        }
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, ErrorKind> {
        check_dtype("sum_pool", &inputs[0])?;
        Ok(smallvec![inputs[0].with_shape("sum_pool", self.window.infer("sum_pool", &inputs[0])?)?])
    }
    fn eval(&self, inputs: &[&Array]) -> Result<Arrays, ErrorKind> {
        let x = inputs[0];
        let shape = shape_of("sum_pool", &self.window, x)?;
        let size: usize = self.window.parts(x.shape()).1.iter().product();
        macro_rules! sums {
            ($v:expr, $nothing:expr, $add:expr) => {{
                let mut out = vec![$nothing; shape.size()];
                self.window.visit(x.shape(), &shape, |row, to, flat| {
                    out[to] = $add(out[to], $v[row * size + flat]);
                });
                Array::of(shape, out)
            }};
        }
        Ok(smallvec![match x.buffer() {
            Buffer::F32(v) => sums!(v, -0.0, |a, b| a + b),
            Buffer::F64(v) => sums!(v, -0.0, |a, b| a + b),
            Buffer::I32(v) => sums!(v, 0, i32::wrapping_add),
            Buffer::I64(v) => sums!(v, 0, i64::wrapping_add),
            Buffer::U8(v) => sums!(v, 0, u8::wrapping_add),
            Buffer::Bool(_) | Buffer::Bf16(_) | Buffer::F16(_) =>
                unreachable!("excluded by the shape rule, or wider here"),
        }])
    }
    fn jvp(&self, b: &mut Builder, _: Jvp, inputs: &[Var], t: &[Option<Var>]) -> Result<(Vars, Tangents)> {
        jvp_linear(self.clone(), b, inputs, t)
    }
    fn transpose(&self, b: &mut Builder, inputs: &[Operand], ct: &[Option<Var>]) -> Result<Tangents> {
        let (Operand::Linear(ty), Some(ct)) = (&inputs[0], ct[0]) else { return Ok(smallvec![None]) };
        // Spread the cotangents by the stride; an element then sums those of the windows that hold it, which is
        // the same window with step 1 once the edges are right. An edge that is too long is cut off.
        let (out, window) = (b.shape(ct).clone(), &self.window);
        let lead = out.rank() - window.dims();
        let none = || SmallVec::<[usize; 4]>::from_elem(0, out.rank());
        let mut pad = Pad { dead: true, low: none(), high: none(), interior: none() };
        let mut cut = (none(), none());
        for d in 0..window.dims() {
            let (axis, span) = (lead + d, dilated(window.size[d], window.dilation[d]));
            let before = span as isize - 1 - window.low[d] as isize;
            let spread = dilated(out[axis], window.stride[d]) as isize;
            let after = ty.shape[axis] as isize + span as isize - 1 - spread - before;
            pad.interior[axis] = window.stride[d] - 1;
            (pad.low[axis], cut.0[axis]) = (before.max(0) as usize, (-before).max(0) as usize);
            (pad.high[axis], cut.1[axis]) = (after.max(0) as usize, (-after).max(0) as usize);
        }
        let spread = b.emit1(pad, &[ct])?;
        let shape = b.shape(spread).clone();
        let slice = Slice {
            stop: (0..shape.rank()).map(|a| shape[a] - cut.1[a]).collect(),
            start: cut.0,
            step: SmallVec::from_elem(1, shape.rank()),
        };
        let trivial = slice.start.iter().all(|&s| s == 0) && slice.stop[..] == shape[..];
        let spread = if trivial { spread } else { b.emit1(slice, &[spread])? };
        let fill = |n| SmallVec::from_elem(n, window.dims());
        let back = Window { stride: fill(1), low: fill(0), high: fill(0), ..window.clone() };
        Ok(smallvec![Some(b.emit1(SumPool { window: back }, &[spread])?)])
    }
    fn batch(&self, b: &mut Builder, inputs: &[Batched], lanes: Lanes<'_>) -> Result<SmallVec<[Batched; 4]>> {
        batch_all(self.clone(), b, inputs, lanes.size)
    }
    fn cost(&self, inputs: &[Type], outputs: &[Type]) -> Cost {
        let taps: usize = self.window.size.iter().product();
        Cost { flops: outputs[0].shape.size() as f64 * taps as f64, bytes: moved(inputs, outputs).bytes }
    }
}
