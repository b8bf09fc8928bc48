//! bfloat16, the upper half of a float32: how tensors are stored, never how they are added up.
//!
//! A pass over bfloat16 tensors is the float32 pass: what is read is widened where it is copied or loaded anyway, states and sums are
//! float32, and what is written is rounded once, to the nearest and of two to the even. Products multiply float32 too, or, where the
//! instruction set has it ([`Isa::Avx512Bf16`]), pairs of bfloat16 at a time, still summed in float32.

use std::ops::{Deref, DerefMut};
use std::ptr::{copy_nonoverlapping, null_mut, write_bytes};

use crate::pool::Buffer;
use crate::vector::{Vector, prefetch_row};
use crate::{Context, Isa};
use element::Element;

/// A bfloat16: the sign, the exponent and seven bits of the fraction of a float32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Bf16(u16);

impl Bf16 {
    /// The nearest, and of two the even one. NaN stays NaN.
    #[inline(always)]
    #[must_use]
    pub fn from_f32(x: f32) -> Bf16 {
        let bits = x.to_bits();
        let nearest = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
        // Exact: 16 bits are left.
        Bf16(if x.is_nan() { 0x7fc0 } else { nearest as u16 })
    }

    /// Exact.
    #[inline(always)]
    #[must_use]
    pub fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }
}

/// What tensors of the fast passes are made of: `f32` or [`Bf16`].
pub trait Number: Element {}

impl Number for f32 {}
impl Number for Bf16 {}

#[expect(private_bounds, reason = "sealed: only the passes themselves read and write")]
mod element {
    use std::fmt::Debug;

    use super::Bf16;
    use crate::vector::Vector;

    /// How the passes read and write a number. `n <= LANES` of them at a time; `stream` writes `LANES` past the caches.
    pub trait Element: Copy + Debug + Default + Send + Sync + 'static {
        const HALF: bool;

        unsafe fn load<V: Vector>(from: *const Self, n: usize) -> V;
        unsafe fn store<V: Vector>(value: V, to: *mut Self, n: usize);
        unsafe fn stream<V: Vector>(value: V, to: *mut Self);
        fn from_f32(x: f32) -> Self;
        fn to_f32(self) -> f32;
        /// The same numbers, where they are float32.
        fn floats(numbers: &[Self]) -> Option<&[f32]>;
        fn floats_mut(numbers: &mut [Self]) -> Option<&mut [f32]>;
    }

    impl Element for f32 {
        const HALF: bool = false;

        #[inline(always)]
        unsafe fn load<V: Vector>(from: *const f32, n: usize) -> V {
            // SAFETY: passed on from the caller.
            unsafe { V::load_first(from, n) }
        }

        #[inline(always)]
        unsafe fn store<V: Vector>(value: V, to: *mut f32, n: usize) {
            // SAFETY: passed on from the caller.
            unsafe { value.store_first(to, n) }
        }

        #[inline(always)]
        unsafe fn stream<V: Vector>(value: V, to: *mut f32) {
            // SAFETY: passed on from the caller.
            unsafe { value.stream(to) }
        }

        fn from_f32(x: f32) -> f32 {
            x
        }

        fn to_f32(self) -> f32 {
            self
        }

        fn floats(numbers: &[f32]) -> Option<&[f32]> {
            Some(numbers)
        }

        fn floats_mut(numbers: &mut [f32]) -> Option<&mut [f32]> {
            Some(numbers)
        }
    }

    impl Element for Bf16 {
        const HALF: bool = true;

        #[inline(always)]
        unsafe fn load<V: Vector>(from: *const Bf16, n: usize) -> V {
            // SAFETY: passed on from the caller.
            unsafe { V::load_half(from, n) }
        }

        #[inline(always)]
        unsafe fn store<V: Vector>(value: V, to: *mut Bf16, n: usize) {
            // SAFETY: passed on from the caller.
            unsafe { value.store_half(to, n) }
        }

        #[inline(always)]
        unsafe fn stream<V: Vector>(value: V, to: *mut Bf16) {
            // SAFETY: passed on from the caller.
            unsafe { value.stream_half(to) }
        }

        fn from_f32(x: f32) -> Bf16 {
            Bf16::from_f32(x)
        }

        fn to_f32(self) -> f32 {
            Bf16::to_f32(self)
        }

        fn floats(_: &[Bf16]) -> Option<&[f32]> {
            None
        }

        fn floats_mut(_: &mut [Bf16]) -> Option<&mut [f32]> {
            None
        }
    }
}

/// Where numbers of either type begin; which one is known at run time, so that code that only copies them is compiled once.
///
/// # Safety
/// Methods that are unsafe want memory of as many numbers as they name, and the instruction set of V.
#[derive(Clone, Copy)]
pub(crate) struct Numbers {
    start: *mut u8,
    half: bool,
}

impl<F: Number> From<*const F> for Numbers {
    fn from(start: *const F) -> Numbers {
        Numbers { start: start.cast_mut().cast(), half: F::HALF }
    }
}

impl<F: Number> From<*mut F> for Numbers {
    fn from(start: *mut F) -> Numbers {
        Numbers { start: start.cast(), half: F::HALF }
    }
}

impl Numbers {
    pub(crate) const ABSENT: Numbers = Numbers { start: null_mut(), half: false };

    /// Of a tensor that may be absent.
    pub(crate) fn of<F: Number>(tensor: Option<&[F]>) -> Numbers {
        tensor.map_or(Numbers::ABSENT, |tensor| tensor.as_ptr().into())
    }

    /// The same, to be written.
    pub(crate) fn of_mut<F: Number>(tensor: &mut Option<&mut [F]>) -> Numbers {
        tensor.as_mut().map_or(Numbers::ABSENT, |tensor| tensor.as_mut_ptr().into())
    }

    pub(crate) fn is_null(self) -> bool {
        self.start.is_null()
    }

    pub(crate) fn is_half(self) -> bool {
        self.half
    }

    /// The number `count` after the first; of what is absent still absent.
    #[inline(always)]
    pub(crate) fn at(self, count: usize) -> Numbers {
        let size = if self.half { size_of::<Bf16>() } else { size_of::<f32>() };
        Numbers { start: if self.is_null() { self.start } else { self.start.wrapping_add(count * size) }, ..self }
    }

    /// As floats, which they must be.
    #[inline(always)]
    pub(crate) fn floats(self) -> *mut f32 {
        debug_assert!(!self.half);
        self.start.cast()
    }

    #[inline(always)]
    pub(crate) unsafe fn load<V: Vector>(self, n: usize) -> V {
        // SAFETY: passed on from the caller.
        unsafe { if self.half { V::load_half(self.start.cast(), n) } else { V::load_first(self.start.cast(), n) } }
    }

    /// Widens `len` numbers.
    #[inline(always)]
    pub(crate) unsafe fn read<V: Vector>(self, len: usize, to: *mut f32) {
        // SAFETY: passed on from the caller.
        unsafe {
            if !self.half {
                return copy_nonoverlapping(self.start.cast(), to, len);
            }
            for i in (0..len).step_by(V::LANES) {
                let n = V::LANES.min(len - i);
                V::load_half(self.start.cast::<Bf16>().add(i), n).store_first(to.add(i), n);
            }
        }
    }

    /// Rounds `len` numbers.
    #[inline(always)]
    pub(crate) unsafe fn write<V: Vector>(self, len: usize, from: *const f32) {
        // SAFETY: passed on from the caller.
        unsafe {
            if !self.half {
                return copy_nonoverlapping(from, self.start.cast(), len);
            }
            for i in (0..len).step_by(V::LANES) {
                let n = V::LANES.min(len - i);
                V::load_first(from.add(i), n).store_half(self.start.cast::<Bf16>().add(i), n);
            }
        }
    }

    /// Copies `len` bfloat16 numbers as they are.
    #[inline(always)]
    pub(crate) unsafe fn copy_half(self, len: usize, to: *mut Bf16) {
        debug_assert!(self.half);
        // SAFETY: passed on from the caller.
        unsafe { copy_nonoverlapping(self.start.cast(), to, len) }
    }

    /// Zeros.
    #[inline(always)]
    pub(crate) unsafe fn clear(self, len: usize) {
        // SAFETY: passed on from the caller.
        unsafe { write_bytes(self.start, 0, len * if self.half { size_of::<Bf16>() } else { size_of::<f32>() }) }
    }

    /// Asks for `len` numbers, which will be wanted soon.
    #[inline(always)]
    pub(crate) fn prefetch(self, len: usize) {
        if !self.is_null() {
            prefetch_row(self.start.cast(), 0..if self.half { len.div_ceil(2) } else { len });
        }
    }
}

/// Whether products of such tensors multiply pairs of bfloat16.
pub(crate) fn pairs<F: Number>(context: &Context) -> bool {
    F::HALF && context.isa() == Isa::Avx512Bf16
}

/// A tensor as float32: itself, or a widened copy.
pub(crate) enum Widened<'a> {
    Same(&'a [f32]),
    Copy(Buffer),
}

impl<'a> Widened<'a> {
    pub(crate) fn new<F: Number>(context: &Context, from: &'a [F]) -> Widened<'a> {
        if let Some(floats) = F::floats(from) {
            return Widened::Same(floats);
        }
        let copy = context.pool().take(from.len());
        convert(context, from.as_ptr().into(), copy.start().into(), from.len());
        Widened::Copy(copy)
    }
}

impl Deref for Widened<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Widened::Same(floats) => floats,
            Widened::Copy(copy) => copy,
        }
    }
}

/// Where sums go that are written when they are complete: to the tensor itself, or to floats that are rounded to it in the end.
pub(crate) enum Rounded<'a, F: Number> {
    Same(&'a mut [f32]),
    Later(Buffer, &'a mut [F]),
}

impl<'a, F: Number> Rounded<'a, F> {
    pub(crate) fn new(context: &Context, to: &'a mut [F]) -> Rounded<'a, F> {
        if !F::HALF {
            return Rounded::Same(F::floats_mut(to).unwrap_or_default());
        }
        Rounded::Later(context.pool().take(to.len()), to)
    }

    pub(crate) fn finish(self, context: &Context) {
        if let Rounded::Later(sums, to) = self {
            convert(context, sums.start().into(), to.as_mut_ptr().into(), to.len());
        }
    }
}

impl<F: Number> Deref for Rounded<'_, F> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Rounded::Same(floats) => floats,
            Rounded::Later(sums, _) => sums,
        }
    }
}

impl<F: Number> DerefMut for Rounded<'_, F> {
    fn deref_mut(&mut self) -> &mut [f32] {
        match self {
            Rounded::Same(floats) => floats,
            Rounded::Later(sums, _) => sums,
        }
    }
}

/// Copies numbers of one type to another; one of them is float32.
fn convert(context: &Context, from: Numbers, to: Numbers, len: usize) {
    // SAFETY: the context vouches for the instruction set, the callers for the memory.
    unsafe { context.isa().run(Convert { from, to, len }) }
}

struct Convert {
    from: Numbers,
    to: Numbers,
    len: usize,
}

impl crate::vector::Kernel for Convert {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        // SAFETY: passed on from the caller.
        unsafe {
            if self.to.half {
                self.to.write::<V>(self.len, self.from.floats());
            } else {
                self.from.read::<V>(self.len, self.to.floats());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Serial;

    #[test]
    fn rounding_is_to_the_nearest_and_of_two_to_the_even_on_every_instruction_set() {
        // Half a step above and below an even and an odd number, a little beside, the largest, what rounds to infinity, the smallest.
        let bits = [
            0x3f80_8000,
            0x3f81_8000,
            0x3f80_8001,
            0x3f81_7fff,
            0xbf80_8000,
            0x7f7f_ffff,
            0x7f7f_7fff,
            0x7f80_0000,
            0xff80_0000,
            0x0000_0001,
            0x0000_8000,
            0x0001_8000,
            0x8000_0000,
            0x7f80_0001,
            0xffff_ffff,
            0x7fc0_0000,
            0x4049_0fdb,
        ];
        let want: [u16; 17] =
            [0x3f80, 0x3f82, 0x3f81, 0x3f81, 0xbf80, 0x7f80, 0x7f7f, 0x7f80, 0xff80, 0, 0, 2, 0x8000, 0x7fc0, 0x7fc0, 0x7fc0, 0x4049];
        let floats: Vec<f32> = bits.iter().map(|&bits| f32::from_bits(bits)).collect();
        assert_eq!(floats.iter().map(|&x| Bf16::from_f32(x).0).collect::<Vec<_>>(), want);
        for isa in Isa::supported() {
            let context = Context::new(&Serial).with_isa(isa).unwrap();
            for len in 0..=floats.len() {
                let mut halves = vec![Bf16(0x1234); floats.len()];
                convert(&context, floats.as_ptr().into(), halves.as_mut_ptr().into(), len);
                let expected: Vec<u16> = want[..len].iter().copied().chain(vec![0x1234; floats.len() - len]).collect();
                assert_eq!(halves.iter().map(|x| x.0).collect::<Vec<_>>(), expected, "{len} on {isa}");
                let mut back = vec![7.0; floats.len()];
                convert(&context, halves.as_ptr().into(), back.as_mut_ptr().into(), len);
                for (i, back) in back.iter().enumerate() {
                    let want = if i < len { halves[i].to_f32() } else { 7.0 };
                    assert_eq!(back.to_bits(), want.to_bits(), "{i} of {len} on {isa}");
                }
            }
        }
    }
}
