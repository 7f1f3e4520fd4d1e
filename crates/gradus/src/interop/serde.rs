//! Tensors as data of `serde`: dtype, shape and elements, as the [host array](crate::Array) has them. A tensor is read onto the
//! default device.

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Array, Device, Tensor};

impl Serialize for Tensor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_array().map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Tensor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Tensor::on(&Device::default(), Array::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
