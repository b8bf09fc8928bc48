//! The buffers of the passes, and whether they fit.

use super::layout::reserve_len;
use super::{Cell, Layer, Weights};
use crate::bfloat16::{Number, Rounded};
use crate::{Context, Error};

/// The buffers of a forward pass, all the caller's.
#[derive(Debug)]
pub struct Forward<'a, F = f32> {
    /// [B, T, I], read.
    pub x: &'a [F],
    /// [B, H], read; absent means zeros.
    pub h_0: Option<&'a [F]>,
    /// [B, H], read; absent means zeros. LSTM only.
    pub c_0: Option<&'a [F]>,
    /// [B, T, H], written.
    pub y: &'a mut [F],
    /// [B, H], written where wanted: h after each row's last step.
    pub h_n: Option<&'a mut [F]>,
    /// [B, H], written where wanted: c after each row's last step. LSTM only.
    pub c_n: Option<&'a mut [F]>,
    /// Written and kept for backward, as many floats as the cell's `reserve_len` says; absent for inference. Its layout is private.
    pub reserve: Option<&'a mut [f32]>,
}

impl<F> Default for Forward<'_, F> {
    fn default() -> Self {
        Forward { x: &[], h_0: None, c_0: None, y: &mut [], h_n: None, c_n: None, reserve: None }
    }
}

impl<F> Forward<'_, F> {
    pub(super) fn check<C: Cell>(&self, layer: &Layer<F>) -> Result<(), Error> {
        layer.check(C::NAME, C::gates())?;
        let shape = &layer.shape;
        Error::check(C::NAME, "x", "B*T*I", shape.x_len(), self.x.len())?;
        Error::check(C::NAME, "y", "B*T*H", shape.y_len(), self.y.len())?;
        let states = [("h_0", self.h_0), ("c_0", self.c_0), ("h_n", self.h_n.as_deref()), ("c_n", self.c_n.as_deref())];
        for (name, state) in states {
            if let Some(state) = state {
                refuse_c::<C>(name)?;
                Error::check(C::NAME, name, "B*H", shape.state_len(), state.len())?;
            }
        }
        if let Some(reserve) = &self.reserve {
            Error::check(C::NAME, "reserve", "reserve_len", reserve_len::<C>(&layer.shape, layer.options), reserve.len())?;
        }
        Ok(())
    }
}

/// The gradients of [`Weights`], in the same layout, written.
#[derive(Debug)]
pub struct WeightGradients<'a, F = f32> {
    pub weight_ih: &'a mut [F],
    pub weight_hh: &'a mut [F],
    pub bias_ih: Option<&'a mut [F]>,
    pub bias_hh: Option<&'a mut [F]>,
}

impl<F: Number> WeightGradients<'_, F> {
    /// Zeros everywhere.
    pub(super) fn clear(&mut self) {
        let WeightGradients { weight_ih, weight_hh, bias_ih, bias_hh } = self;
        [Some(weight_ih), Some(weight_hh), bias_ih.as_mut(), bias_hh.as_mut()].into_iter().flatten().for_each(|to| to.fill(F::default()));
    }

    /// As weights, whose sizes they have.
    pub(super) fn as_weights(&self) -> Weights<'_, F> {
        let WeightGradients { weight_ih, weight_hh, bias_ih, bias_hh } = self;
        Weights { weight_ih, weight_hh, bias_ih: bias_ih.as_deref(), bias_hh: bias_hh.as_deref() }
    }
}

/// Sums that become [`WeightGradients`].
pub(super) struct Sums<'a, F: Number> {
    weight_ih: Rounded<'a, F>,
    weight_hh: Rounded<'a, F>,
    bias_ih: Option<Rounded<'a, F>>,
    bias_hh: Option<Rounded<'a, F>>,
}

impl<'a, F: Number> Sums<'a, F> {
    pub(super) fn new(context: &Context, to: WeightGradients<'a, F>) -> Sums<'a, F> {
        let of = |to: &'a mut [F]| Rounded::new(context, to);
        let WeightGradients { weight_ih, weight_hh, bias_ih, bias_hh } = to;
        Sums { weight_ih: of(weight_ih), weight_hh: of(weight_hh), bias_ih: bias_ih.map(of), bias_hh: bias_hh.map(of) }
    }

    pub(super) fn as_gradients(&mut self) -> WeightGradients<'_> {
        let Sums { weight_ih, weight_hh, bias_ih, bias_hh } = self;
        WeightGradients { weight_ih, weight_hh, bias_ih: bias_ih.as_deref_mut(), bias_hh: bias_hh.as_deref_mut() }
    }

    /// Writes them to where they belong.
    pub(super) fn finish(self, context: &Context) {
        let Sums { weight_ih, weight_hh, bias_ih, bias_hh } = self;
        [Some(weight_ih), Some(weight_hh), bias_ih, bias_hh].into_iter().flatten().for_each(|sums| sums.finish(context));
    }
}

/// The buffers of a backward pass, all the caller's.
#[derive(Debug)]
pub struct Backward<'a, F = f32> {
    /// As given to forward, read.
    pub x: &'a [F],
    /// As given to forward, read.
    pub h_0: Option<&'a [F]>,
    /// As given to forward, read. LSTM only.
    pub c_0: Option<&'a [F]>,
    /// [B, T, H] as forward wrote it, read.
    pub y: &'a [F],
    /// As forward wrote it; used as scratch, so that a second backward pass needs a copy made before.
    pub reserve: &'a mut [f32],
    /// [B, T, H], read; absent means zeros.
    pub dy: Option<&'a [F]>,
    /// [B, H], read; absent means zeros.
    pub dh_n: Option<&'a [F]>,
    /// [B, H], read; absent means zeros. LSTM only.
    pub dc_n: Option<&'a [F]>,
    /// [B, T, I], written where wanted.
    pub dx: Option<&'a mut [F]>,
    /// [B, H], written where wanted.
    pub dh_0: Option<&'a mut [F]>,
    /// [B, H], written where wanted. LSTM only.
    pub dc_0: Option<&'a mut [F]>,
    /// Written where wanted.
    pub dweights: Option<WeightGradients<'a, F>>,
}

impl<F> Default for Backward<'_, F> {
    fn default() -> Self {
        Backward {
            x: &[],
            h_0: None,
            c_0: None,
            y: &[],
            reserve: &mut [],
            dy: None,
            dh_n: None,
            dc_n: None,
            dx: None,
            dh_0: None,
            dc_0: None,
            dweights: None,
        }
    }
}

impl<F: Number> Backward<'_, F> {
    pub(super) fn check<C: Cell>(&self, layer: &Layer<F>) -> Result<(), Error> {
        layer.check(C::NAME, C::gates())?;
        let shape = &layer.shape;
        let (x, y, state) = (shape.x_len(), shape.y_len(), shape.state_len());
        Error::check(C::NAME, "x", "B*T*I", x, self.x.len())?;
        Error::check(C::NAME, "y", "B*T*H", y, self.y.len())?;
        Error::check(C::NAME, "reserve", "reserve_len", reserve_len::<C>(&layer.shape, layer.options), self.reserve.len())?;
        for (name, letters, expected, slice) in [
            ("h_0", "B*H", state, self.h_0),
            ("c_0", "B*H", state, self.c_0),
            ("dy", "B*T*H", y, self.dy),
            ("dh_n", "B*H", state, self.dh_n),
            ("dc_n", "B*H", state, self.dc_n),
            ("dx", "B*T*I", x, self.dx.as_deref()),
            ("dh_0", "B*H", state, self.dh_0.as_deref()),
            ("dc_0", "B*H", state, self.dc_0.as_deref()),
        ] {
            if let Some(slice) = slice {
                refuse_c::<C>(name)?;
                Error::check(C::NAME, name, letters, expected, slice.len())?;
            }
        }
        let Some(d) = &self.dweights else { return Ok(()) };
        d.as_weights().check(C::NAME, C::gates(), shape)
    }
}

/// Refuses c where the cell has none.
pub(super) fn refuse_c<C: Cell>(name: &str) -> Result<(), Error> {
    if name.contains("c_") && !C::HAS_C {
        return Err(Error::new(C::NAME, format!("{name} must be absent: there is no c")));
    }
    Ok(())
}
