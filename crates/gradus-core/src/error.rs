//! The one error type: what went wrong, where in the user's source, and what to try.

use core::fmt;
use std::panic::Location;
use std::sync::Arc;

use thiserror::Error;

use crate::memory::readable;
use crate::{DType, Shape};

/// What went wrong. Every message names the operation and says what to try.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Operand shapes do not fit each other.
    #[error("{op}: shapes {} do not fit: {detail}", list(shapes))]
    Shape {
        /// The operation.
        op: &'static str,
        /// The operands' shapes.
        shapes: Vec<Shape>,
        /// Why, and what to try.
        detail: String,
    },
    /// An operand has a dtype the operation does not take.
    #[error("{op}: dtype {} does not fit: {detail}", list(dtypes))]
    DType {
        /// The operation.
        op: &'static str,
        /// The operands' dtypes.
        dtypes: Vec<DType>,
        /// Why, and what to try.
        detail: String,
    },
    /// An axis that the tensor does not have.
    #[error("{op}: axis {axis} is out of range for a tensor with {rank} axes (valid: {})", axes(*rank))]
    Axis {
        /// The operation.
        op: &'static str,
        /// The axis asked for.
        axis: isize,
        /// The number of axes there are.
        rank: usize,
    },
    /// An index outside its axis.
    #[error(
        "{op}: index {index}{} is out of range for an axis of {extent} elements (valid: {}..{extent})",
        at.map_or(String::new(), |at| format!(" (element {at} of the indices)")),
        if *from_end { -(*extent as i64) } else { 0 }
    )]
    Index {
        /// The operation.
        op: &'static str,
        /// The index asked for.
        index: i64,
        /// Its place in row-major order among the indices as the operation reads them, if it stands in a tensor.
        at: Option<usize>,
        /// The extent of the axis.
        extent: usize,
        /// Whether negative indices count from the end.
        from_end: bool,
    },
    /// An argument that makes no sense by itself.
    #[error("{op}: {detail}")]
    Argument {
        /// The operation.
        op: &'static str,
        /// Why, and what to try.
        detail: String,
    },
    /// More than any memory can hold: a tensor whose bytes or strides do not fit into an `isize`, or a program whose values
    /// take petabytes together.
    #[error(
        "{op}: shape {shape} is too large: {}{bytes} bytes are more than memory can hold; check the sizes that were asked for",
        if *bytes == u128::MAX { "more than " } else { "" }
    )]
    TooLarge {
        /// The operation.
        op: &'static str,
        /// The shape asked for, an extent that overflows given as `usize::MAX`; for a plan, that of its largest value.
        shape: Shape,
        /// Its bytes at 8 an element, an extent of 0 counted as 1, or those of all values of a plan; `u128::MAX` if there
        /// are more.
        bytes: u128,
    },
    /// `grad` of a function whose result is no scalar.
    #[error(
        "{transform}: the function returned {found}, but a gradient needs a scalar result; \
         reduce it (for example with `.sum(())` or `.mean(())`), or use `vjp` or `jacobian`"
    )]
    NonScalar {
        /// The transform.
        transform: &'static str,
        /// What came back.
        found: String,
    },
    /// A derivative with respect to something that is not a float.
    #[error(
        "{transform}: cannot differentiate with respect to a tensor of dtype {dtype} ({path}); \
         cast it to f32 or f64, or pass it as a captured value"
    )]
    NotDifferentiable {
        /// The transform.
        transform: &'static str,
        /// The dtype found.
        dtype: DType,
        /// Which argument.
        path: String,
    },
    /// A recorded tensor used after its trace ended.
    #[error(
        "{op}: this tensor belongs to a `{transform}` that has ended; \
         return it from the function instead of storing it outside"
    )]
    EscapedTracer {
        /// The operation.
        op: &'static str,
        /// The transform it was recorded in.
        transform: &'static str,
    },
    /// A value read while only shapes are known.
    #[error(
        "{op}: the value of a tensor is not known inside `{transform}`, where the program is only recorded; \
         use `cond`, `select` or `while_loop` to depend on it, or return it and read it outside"
    )]
    ReadInTrace {
        /// The operation.
        op: &'static str,
        /// The innermost transform without values.
        transform: &'static str,
    },
    /// Reverse mode through a primitive that has none.
    #[error("{op}: reverse mode is not supported here: {detail}")]
    NoTranspose {
        /// The primitive.
        op: &'static str,
        /// Why, and what to try.
        detail: String,
    },
    /// Programs inside each other deeper than [`DEEPEST`](crate::nest::DEEPEST).
    #[error(
        "{op}: more than {} levels of programs inside each other; \
         write an outer level as a Rust loop, or the inner ones as one `scan` or `while_loop`",
        crate::nest::DEEPEST
    )]
    Nesting {
        /// The operation whose body lies too deep.
        op: &'static str,
    },
    /// Tensors that lie on different devices.
    #[error("{op}: the tensors lie on different devices, {}; bring them together with `to`", list(devices))]
    Device {
        /// The operation.
        op: &'static str,
        /// The devices, each once.
        devices: Vec<String>,
    },
    /// Memory that cannot be had.
    #[error(
        "{op}: cannot allocate {}: {} are left of what this process may hold; use a smaller shape or batch, or a \
         memory budget, or raise the limit (GRADUS_MEMORY_LIMIT, `set_memory_limit`)",
        amount(*bytes),
        amount(*left)
    )]
    Memory {
        /// The operation, or what of a program the memory is for.
        op: &'static str,
        /// The bytes asked for.
        bytes: usize,
        /// The bytes left of the [limit](crate::memory::limit). They may be enough: then it was the system that refused.
        left: usize,
    },
    /// A defect of the library itself, met inside of a `try_` form.
    #[error(
        "a defect of Gradus, not of the program, while {doing}: {message}; \
         please report it, with the line below and the shapes there"
    )]
    Internal {
        /// What was going on: recording, transforming, planning, running.
        doing: &'static str,
        /// What the panic said.
        message: String,
    },
    /// Something wrong with data from outside: a file, an array.
    #[error("{0}")]
    Data(String),
}

impl ErrorKind {
    /// An integer divided by zero.
    pub(crate) fn division_by_zero(op: &'static str) -> Self {
        ErrorKind::Argument { op, detail: "division of an integer by zero".into() }
    }
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(T::to_string).collect();
    match items.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

fn amount(bytes: usize) -> String {
    if bytes < 1000 { format!("{bytes} bytes") } else { format!("{} ({bytes} bytes)", readable(bytes)) }
}

fn axes(rank: usize) -> String {
    if rank == 0 { "none, it is a scalar".to_string() } else { format!("-{rank}..{rank}") }
}

/// Where a node came from: the user's source line and the scope (`layers.0`) it was recorded in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Site {
    /// The line that called the operation.
    pub location: Option<&'static Location<'static>>,
    /// The dotted path of scopes open at that time.
    pub scope: Option<Arc<str>>,
}

impl Site {
    /// The caller's source line, without a scope.
    #[track_caller]
    pub fn caller() -> Self {
        Site { location: Some(Location::caller()), scope: None }
    }
    /// Equality that looks at the text of a line only where the places in memory differ.
    pub(crate) fn same(&self, other: &Self) -> bool {
        let location = match (self.location, other.location) {
            (Some(a), Some(b)) => std::ptr::eq(a, b) || a == b,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        location && self.scope == other.scope
    }
    /// Whether a source line or a scope is known.
    pub fn is_known(&self) -> bool {
        self.location.is_some() || self.scope.is_some()
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.location, &self.scope) {
            (Some(l), Some(s)) => write!(f, "{}:{}:{} in {s}", l.file(), l.line(), l.column()),
            (Some(l), None) => write!(f, "{}:{}:{}", l.file(), l.line(), l.column()),
            (None, Some(s)) => write!(f, "{s}"),
            (None, None) => Ok(()),
        }
    }
}

/// An [`ErrorKind`] with the [`Site`] of the operation that failed.
#[derive(Clone, PartialEq)]
pub struct Error(Box<(ErrorKind, Site)>);

impl Error {
    /// Joins what and where.
    pub fn new(kind: ErrorKind, site: Site) -> Self {
        Error(Box::new((kind, site)))
    }
    /// What went wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.0
    }
    /// Where it went wrong.
    pub fn site(&self) -> &Site {
        &self.0.1
    }
    /// The same error at `site`, if it has no place yet.
    pub fn or_at(mut self, site: &Site) -> Self {
        if self.0.1.location.is_none() {
            self.0.1 = site.clone();
        }
        self
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Error::new(kind, Site::default())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind())?;
        if self.site().is_known() {
            write!(f, "\n  at {}", self.site())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}

/// `Result` with this crate's [`struct@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
