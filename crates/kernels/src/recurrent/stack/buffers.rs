//! The buffers of the passes over a stack, and whether they fit.

use super::{Kept, Stack};
use crate::Error;
use crate::recurrent::{Cell, WeightGradients};

/// The buffers of a forward pass, all the caller's. n is K·D.
#[derive(Debug, Default)]
pub struct Forward<'a> {
    /// [B, T, I], read.
    pub x: &'a [f32],
    /// [n, B, H], read; absent means zeros.
    pub h_0: Option<&'a [f32]>,
    /// [n, B, H], read; absent means zeros. LSTM only.
    pub c_0: Option<&'a [f32]>,
    /// [K - 1, B, T, D·H], read: what the output of each layer but the last is multiplied by before the next one reads it (dropout).
    pub masks: Option<&'a [f32]>,
    /// [B, T, D·H], written.
    pub y: &'a mut [f32],
    /// [n, B, H], written where wanted.
    pub h_n: Option<&'a mut [f32]>,
    /// [n, B, H], written where wanted. LSTM only.
    pub c_n: Option<&'a mut [f32]>,
    /// Written and kept for backward, as many floats as the cell's `stack_reserve_len` says; absent for inference. Its layout is private.
    pub reserve: Option<&'a mut [f32]>,
}

/// The buffers of a backward pass, all the caller's. n is K·D.
#[derive(Debug, Default)]
pub struct Backward<'a> {
    /// As given to forward, read.
    pub x: &'a [f32],
    /// As given to forward, read.
    pub h_0: Option<&'a [f32]>,
    /// As given to forward, read. LSTM only.
    pub c_0: Option<&'a [f32]>,
    /// As given to forward, read. They have no gradient.
    pub masks: Option<&'a [f32]>,
    /// [B, T, D·H] as forward wrote it, read.
    pub y: &'a [f32],
    /// As forward wrote it; used as scratch, so that a second backward pass needs a copy made before.
    pub reserve: &'a mut [f32],
    /// [B, T, D·H], read; absent means zeros.
    pub dy: Option<&'a [f32]>,
    /// [n, B, H], read; absent means zeros.
    pub dh_n: Option<&'a [f32]>,
    /// [n, B, H], read; absent means zeros. LSTM only.
    pub dc_n: Option<&'a [f32]>,
    /// [B, T, I], written where wanted.
    pub dx: Option<&'a mut [f32]>,
    /// [n, B, H], written where wanted.
    pub dh_0: Option<&'a mut [f32]>,
    /// [n, B, H], written where wanted. LSTM only.
    pub dc_0: Option<&'a mut [f32]>,
    /// n of them, in the order of the weights, written where wanted.
    pub dweights: Option<Vec<WeightGradients<'a>>>,
}

impl Forward<'_> {
    pub(super) fn check<C: Cell>(&self, stack: &Stack) -> Result<(), Error> {
        stack.check(C::NAME, C::gates())?;
        let sizes = Sizes::<C>::new(stack);
        Sizes::<C>::check("x", stack.shape.x_len(), self.x)?;
        Sizes::<C>::check("y", stack.output_len(), self.y)?;
        sizes.masks(self.masks)?;
        sizes.states([("h_0", self.h_0), ("c_0", self.c_0), ("h_n", self.h_n.as_deref()), ("c_n", self.c_n.as_deref())])?;
        match &self.reserve {
            None => Ok(()),
            Some(reserve) => Sizes::<C>::check("reserve", Kept::new::<C>(stack, true, self.masks.is_some()).len, reserve),
        }
    }
}

impl Backward<'_> {
    pub(super) fn check<C: Cell>(&self, stack: &Stack) -> Result<(), Error> {
        stack.check(C::NAME, C::gates())?;
        let sizes = Sizes::<C>::new(stack);
        let (x, y) = (stack.shape.x_len(), stack.output_len());
        Sizes::<C>::check("x", x, self.x)?;
        Sizes::<C>::check("y", y, self.y)?;
        sizes.masks(self.masks)?;
        Sizes::<C>::check("reserve", Kept::new::<C>(stack, true, self.masks.is_some()).len, self.reserve)?;
        sizes.states([
            ("h_0", self.h_0),
            ("c_0", self.c_0),
            ("dh_n", self.dh_n),
            ("dc_n", self.dc_n),
            ("dh_0", self.dh_0.as_deref()),
            ("dc_0", self.dc_0.as_deref()),
        ])?;
        self.dy.map_or(Ok(()), |dy| Sizes::<C>::check("dy", y, dy))?;
        self.dx.as_deref().map_or(Ok(()), |dx| Sizes::<C>::check("dx", x, dx))?;
        let Some(gradients) = &self.dweights else { return Ok(()) };
        Error::check(C::NAME, "dweights", "K*D sets, not", stack.weights.len(), gradients.len())?;
        gradients
            .iter()
            .enumerate()
            .try_for_each(|(pass, gradients)| gradients.as_weights().check(C::NAME, C::gates(), &stack.layer(pass).shape))
    }
}

/// What the buffers of a stack must hold.
struct Sizes<'a, C> {
    stack: &'a Stack<'a>,
    cell: std::marker::PhantomData<C>,
}

impl<'a, C: Cell> Sizes<'a, C> {
    fn new(stack: &'a Stack<'a>) -> Self {
        Sizes { stack, cell: std::marker::PhantomData }
    }

    fn check(name: &str, expected: usize, slice: &[f32]) -> Result<(), Error> {
        let letters = match name {
            "x" | "dx" => "B*T*I",
            "y" | "dy" => "B*T*D*H",
            "masks" => "(K-1)*B*T*D*H",
            "reserve" => "stack_reserve_len",
            _ => "K*D*B*H",
        };
        Error::check(C::NAME, name, letters, expected, slice.len())
    }

    fn masks(&self, masks: Option<&[f32]>) -> Result<(), Error> {
        masks.map_or(Ok(()), |masks| Self::check("masks", (self.stack.layers() - 1) * self.stack.output_len(), masks))
    }

    fn states<const N: usize>(&self, states: [(&str, Option<&[f32]>); N]) -> Result<(), Error> {
        for (name, state) in states {
            let Some(state) = state else { continue };
            super::super::buffers::refuse_c::<C>(name)?;
            Self::check(name, self.stack.weights.len() * self.stack.shape.state_len(), state)?;
        }
        Ok(())
    }
}
