//! Byte-pair encoding over bytes (Sennrich, Haddow and Birch 2016; over bytes as in Radford et al. 2019), by the crate `tokenizers`.
//!
//! A text is cut where words, numbers, marks and white space meet, a space going with what follows it; the bytes of each part are the first pieces; then pairs of neighbours
//! are joined in the order in which training found them, the most frequent first. Every text is some sequence of the 256 bytes, so nothing is unknown, and the
//! bytes of the pieces, one after another, are the text.
use crate::error::{Code, Fault};
use rayon::prelude::*;
use tokenizers::decoders::DecoderWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::normalizers::utils::Lowercase;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::processors::PostProcessorWrapper;
use tokenizers::tokenizer::{AddedToken, SplitDelimiterBehavior, TokenizerImpl};

type Pipeline = TokenizerImpl<BPE, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>;

/// The numbers 0 and 1, as everywhere in this library.
const SPECIAL: [&str; 2] = ["<PAD>", "<EOS>"];
/// Where texts are cut before training and encoding. It matches every character, and looks neither ahead nor back, so its time is linear.
const PARTS: &str = r" ?[\p{L}\p{M}]+| ?\p{N}+| ?[^\s\p{L}\p{M}\p{N}]+|\s+";
/// Pieces that there are without any training: `SPECIAL` and the bytes.
const LEAST: usize = SPECIAL.len() + 256;

/// What training is told.
#[derive(Clone, Copy, Debug)]
pub struct Training {
    /// The most pieces, `<PAD>`, `<EOS>` and the 256 bytes included.
    pub size: usize,
    /// A pair that occurs less often is not joined.
    pub min_count: u64,
    /// Whether texts are read in lower case.
    pub lowercase: bool,
}

/// A byte-pair encoding.
pub struct BytePairs {
    pipeline: Pipeline,
    pieces: usize,
}

impl BytePairs {
    /// Learns the pairs from texts. The result does not depend on their order or on the number of threads.
    pub fn train(texts: &[&str], training: Training) -> Result<Self, Fault> {
        if training.size < LEAST || u32::try_from(training.size).is_err() {
            return Err(Fault::new(Code::Argument, format!("size must be within {LEAST} … {}, got {}", u32::MAX, training.size)));
        }
        let mut pipeline = Pipeline::new(BPE::default());
        if training.lowercase {
            pipeline.with_normalizer(Some(Lowercase)).map_err(refused)?;
        }
        let parts = Split::new(SplitPattern::Regex(PARTS.into()), SplitDelimiterBehavior::Isolated, false).map_err(refused)?;
        let bytes = ByteLevel::new(false, true, false);
        pipeline.with_pre_tokenizer(Some(Sequence::new(vec![parts.into(), bytes.into()])));
        pipeline.with_decoder(Some(bytes));
        let mut trainer = BpeTrainer::builder()
            .vocab_size(training.size)
            .min_frequency(training.min_count)
            .show_progress(false)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .special_tokens(SPECIAL.map(|token| AddedToken::from(token, true)).into())
            .build();
        pipeline.train(&mut trainer, texts.iter()).map_err(refused)?;
        Self::new(pipeline)
    }

    /// What `to_json` gave, or a tokenizer.json of another program that is byte-pair encoding over bytes and has `<PAD>` and `<EOS>` as its first two pieces.
    pub fn from_json(json: &str) -> Result<Self, Fault> {
        let pipeline: Pipeline = json.parse().map_err(|error| Fault::new(Code::Data, format!("{error}")))?;
        Self::new(pipeline)
    }

    fn new(mut pipeline: Pipeline) -> Result<Self, Fault> {
        // "<EOS>" within a text is five characters as any others.
        pipeline.set_encode_special_tokens(true);
        for (id, token) in SPECIAL.iter().enumerate() {
            let found = pipeline.token_to_id(token);
            if found != u32::try_from(id).ok() {
                let found = found.map_or("absent".into(), |found| found.to_string());
                return Err(Fault::new(Code::Data, format!("the number of {token} must be {id}, and is {found}")));
            }
        }
        if !matches!(pipeline.get_decoder(), Some(DecoderWrapper::ByteLevel(_))) {
            return Err(Fault::new(Code::Data, "this is not byte-pair encoding over bytes: its decoder is not ByteLevel"));
        }
        if let Some(byte) = ByteLevel::alphabet().into_iter().find(|byte| pipeline.token_to_id(&byte.to_string()).is_none()) {
            return Err(Fault::new(Code::Data, format!("the piece of a byte is missing: {byte}")));
        }
        let pieces = pipeline.get_vocab_size(true);
        if let Some(id) = (0..pieces).find(|id| u32::try_from(*id).ok().and_then(|id| pipeline.id_to_token(id)).is_none()) {
            return Err(Fault::new(Code::Data, format!("there are {pieces} pieces, and none has the number {id}")));
        }
        Ok(Self { pipeline, pieces })
    }

    /// The contents of a tokenizer.json.
    pub fn to_json(&self) -> Result<String, Fault> {
        self.pipeline.to_string(false).map_err(refused)
    }

    /// The pieces in the order of their numbers, each byte written as the character that stands for it (a space as `Ġ`).
    pub fn pieces(&self) -> Vec<String> {
        (0..self.pieces).filter_map(|id| self.pipeline.id_to_token(u32::try_from(id).ok()?)).collect()
    }

    /// The numbers of the pieces of a text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, Fault> {
        Ok(self.pipeline.encode_fast(text, false).map_err(refused)?.get_ids().to_vec())
    }

    /// `encode` for each text, on all threads.
    pub fn encode_all(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>, Fault> {
        texts.par_iter().map(|text| self.encode(text)).collect()
    }

    /// The text of the pieces; `<PAD>` and `<EOS>` are left out, and bytes that are no UTF-8 become U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> Result<String, Fault> {
        if let Some(id) = ids.iter().find(|id| **id as usize >= self.pieces) {
            return Err(Fault::new(Code::Argument, format!("{id} is not within 0 … {}", self.pieces - 1)));
        }
        self.pipeline.decode(ids, true).map_err(refused)
    }
}

#[allow(clippy::needless_pass_by_value, reason = "an argument of map_err")]
fn refused(error: tokenizers::Error) -> Fault {
    Fault::new(Code::Engine, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRAINING: Training = Training { size: 400, min_count: 2, lowercase: false };
    const TEXTS: [&str; 5] = [
        "Le roi baisa Absalom.",
        "and the king kissed Absalom.",
        "the king and the king",
        "l'eau du roi, l'eau",
        "<EOS> <EOS> <EOS> <PAD>",
    ];

    fn trained() -> BytePairs {
        BytePairs::train(&TEXTS, TRAINING).unwrap()
    }

    #[test]
    fn any_text_comes_back() {
        let pairs = trained();
        for text in TEXTS.into_iter().chain(["", " ", "  a\r\n\tb  ", "<EOS><PAD>", "東京 🏳️‍🌈 e\u{301} \0 \u{feff}", "مرحبا"])
        {
            let ids = pairs.encode(text).unwrap();
            assert!(ids.iter().all(|id| *id > 1), "{text:?} was read as special");
            assert_eq!(pairs.decode(&ids).unwrap(), text);
        }
    }

    #[test]
    fn frequent_pairs_are_joined() {
        let pairs = trained();
        assert_eq!(pairs.encode("the king").unwrap().len(), 2);
        assert_eq!(pairs.pieces().len(), pairs.pieces);
        assert!(pairs.pieces > LEAST && pairs.pieces <= TRAINING.size);
    }

    #[test]
    fn the_order_of_texts_is_no_matter() {
        let mut reversed = TEXTS;
        reversed.reverse();
        assert_eq!(BytePairs::train(&reversed, TRAINING).unwrap().to_json(), trained().to_json());
    }

    #[test]
    fn json_brings_everything_back() {
        let pairs = trained();
        let again = BytePairs::from_json(&pairs.to_json().unwrap()).unwrap();
        assert_eq!(again.pieces(), pairs.pieces());
        for text in TEXTS {
            assert_eq!(again.encode(text), pairs.encode(text));
        }
    }

    #[test]
    fn a_batch_is_its_texts() {
        let pairs = trained();
        let all = pairs.encode_all(&TEXTS).unwrap();
        for (text, ids) in TEXTS.iter().zip(all) {
            assert_eq!(pairs.encode(text).unwrap(), ids);
        }
    }

    #[test]
    fn lower_case_is_kept_with_the_pieces() {
        let pairs = BytePairs::train(&TEXTS, Training { lowercase: true, ..TRAINING }).unwrap();
        let again = BytePairs::from_json(&pairs.to_json().unwrap()).unwrap();
        assert_eq!(again.decode(&again.encode("ÉTÉ Roi").unwrap()).unwrap(), "été roi");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(BytePairs::train(&TEXTS, Training { size: 257, ..TRAINING }).err().map(|fault| fault.code), Some(Code::Argument));
        for json in ["", "{}", "[1]", r#"{"version":"1.0","model":{"type":"BPE","vocab":{"a":0},"merges":[]}}"#] {
            assert_eq!(BytePairs::from_json(json).err().map(|fault| fault.code), Some(Code::Data), "{json}");
        }
        assert_eq!(trained().decode(&[400]).err().map(|fault| fault.code), Some(Code::Argument));
    }
}
