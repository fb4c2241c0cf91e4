// Every parser of files that a user may have got from somewhere.
#include <fstream>

#include "data/image_codecs.hpp"
#include "data/image_processor.hpp"
#include "data/labelled_texts.hpp"
#include "data/text_samples.hpp"
#include "data/tokenizers/sentence_piece_file.hpp"
#include "data/tokenizers/tokenizer_json.hpp"
#include "data/tokenizers/unicode.hpp"
#include "models/folder.hpp"
#include "tensor/checkpoint.hpp"
#include "tensor/pickle.hpp"
#include "tensor/safetensors.hpp"
#include "tensor/zip_file.hpp"
#include "tests/fuzz/mutate.hpp"
#include "tests/unit/hand_made_images.hpp"
#include "tests/unit/torch/folder.hpp"
#include "tests/unit/torch/hand_made_pickle.hpp"

namespace expunge {
namespace {

using test::fuzz;

void write(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// --- checkpoints
// --------------------------------------------------------------------------------------------------

TEST(Fuzz, Pickle) {
  fuzz({test::one_tensor(4, 0, 4, 1), test::one_tensor(9, 2, 3, 2),
        "\x80\x02}(" + test::text_of("state_dict") + "}" + test::text_of("w") +
            test::tensor_of(test::storage_of("0", 4, false), 0, {2, 2}, {2, 1}) + "s" +
            test::text_of("epoch") + "K\x03u."},
       [](std::string_view bytes) { tensor::read_state_dict(bytes, "fuzz"); });
}

TEST(Fuzz, Zip) {
  fuzz({test::zip_container(test::one_tensor(4, 0, 4, 1), {{"0", std::string(16, '\1')}})},
       [](std::string_view bytes) { tensor::read_zip(bytes, "fuzz"); });
}

TEST(Fuzz, Checkpoints) {
  const test::Folder folder;
  const auto file = folder.path / "model.bin";
  tensor::write_safetensors(folder.path / "seed.safetensors",
                            {{"a", torch::tensor({1.0f, 2.0f})}, {"b", torch::tensor({std::int64_t{3}})}});
  std::ifstream seed(folder.path / "seed.safetensors", std::ios::binary);
  const std::string safetensors{std::istreambuf_iterator<char>(seed), {}};
  fuzz({test::zip_container(test::one_tensor(4, 0, 4, 1), {{"0", std::string(16, '\1')}}),
        test::older_container(), safetensors},
       [&](std::string_view bytes) {
         write(file, bytes);
         for (const auto& [name, value] : tensor::read_checkpoint(file).tensors)
           value.sum();  // every element can be read
       });
}

// --- tokenizers
// ---------------------------------------------------------------------------------------------------

const char* const kTexts[] = {"", "Going to a caf\xC3\xA9!", "a\xFF\xF0\x9F\x98 b",
                              "\xE2\x96\x81 ab  [CLS] <mask>"};

void use(const data::Tokenizer& tokenizer) {
  for (const char* text : kTexts) tokenizer.decode(tokenizer.encode(text, text, 0).ids);
}

TEST(Fuzz, TokenizerJson) {
  fuzz(
      {R"({"normalizer":{"type":"BertNormalizer","lowercase":true},"pre_tokenizer":{"type":"BertPreTokenizer"},"added_tokens":[{"id":1,"content":"[CLS]","special":true,"normalized":false}],"post_processor":{"type":"BertProcessing","sep":["[SEP]",2],"cls":["[CLS]",1]},"model":{"type":"WordPiece","unk_token":"[UNK]","vocab":{"[UNK]":0,"[CLS]":1,"[SEP]":2,"go":3,"##ing":4}}})",
       R"({"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":true},"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2,"\u0120":3},"merges":["a b"]}})",
       R"({"normalizer":{"type":"Sequence","normalizers":[{"type":"NFKD"},{"type":"StripAccents"},{"type":"Precompiled","precompiled_charsmap":"BAAAAAAAAAAA"}]},"pre_tokenizer":{"type":"Metaspace","prepend_scheme":"first","split":true},"model":{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0],["\u2581a",-1.5],["b",-2]]}})"},
      [](std::string_view bytes) {
        const auto json = nlohmann::json::parse(bytes, nullptr, false);
        if (json.is_discarded()) throw DataError::corrupt("not JSON");
        use(data::Tokenizer(data::parts_of_json(json, "fuzz")));
      });
}

TEST(Fuzz, SentencePieceModel) {
  const auto piece = [](const std::string& text, int type) {
    const std::string body = "\x0A" + std::string(1, static_cast<char>(text.size())) + text + "\x15" +
                             std::string("\0\0\x80\xBF", 4) + "\x18" +
                             std::string(1, static_cast<char>(type));
    return "\x0A" + std::string(1, static_cast<char>(body.size())) + body;
  };
  const std::string unigram = piece("<unk>", 2) + piece("<pad>", 3) + piece("</s>", 3) +
                              piece(
                                  "\xE2\x96\x81"
                                  "a",
                                  1) +
                              piece("b", 1);
  const test::Folder folder;
  const auto file = folder.path / "spiece.model";
  fuzz({unigram + "\x12\x02\x18\x01", unigram + piece("<s>", 3) + "\x12\x02\x18\x02"},
       [&](std::string_view bytes) {
         write(file, bytes);
         use(*data::read_sentence_piece(file, {}));
       });
}

TEST(Fuzz, Charsmap) {
  std::string units = test::little(1 << 10, 4);
  for (int i = 0; i < 256; ++i)
    units += test::little(static_cast<std::uint64_t>('a' | (i % 3 == 0 ? 1 << 8 : 0) | i << 10), 4);
  fuzz({test::little(units.size(), 4) + units + std::string("x\0yz\0\xE2\x96\x81\0", 9)},
       [](std::string_view bytes) {
         const data::Charsmap map(bytes, "fuzz");
         std::string storage;
         for (const char* text : kTexts) map.apply(data::unicode::well_formed(text, storage));
       });
}

TEST(Fuzz, IllFormedTexts) {
  const auto tokenizer = data::Tokenizer(data::parts_of_json(
      nlohmann::json::parse(
          R"({"normalizer":{"type":"BertNormalizer"},"pre_tokenizer":{"type":"BertPreTokenizer"},"model":{"type":"WordPiece","vocab":{"[UNK]":0,"a":1}}})"),
      "fuzz"));
  fuzz({kTexts[1], kTexts[2], kTexts[3],
        "\xE0\xA4\x95\xE0\xA5\x8D\xE0\xA4\xB7 \xF0\x9F\x91\xA8\xE2\x80\x8D\xF0\x9F\x91\xA9"},
       [&](std::string_view text) { tokenizer.encode(text); });
}

// --- images and tables
// --------------------------------------------------------------------------------------------

TEST(Fuzz, Images) {
  const auto rows = std::vector<std::string>{std::string("\1\2\3\4\5\6", 6), std::string("\6\5\4\3\2\1", 6)};
  fuzz({data::png_file(2, rows, 8, 2), data::grey_jpeg(), data::colour_jpeg(), data::cmyk_jpeg()},
       [](std::string_view bytes) {
         data::Image image;
         const auto problem = bytes.starts_with("\x89PNG") ? data::decode_png(bytes, false, image)
                                                           : data::decode_jpeg(bytes, false, false, image);
         if (!problem.empty()) throw DataError::corrupt(problem);
       });
}

TEST(Fuzz, PreprocessorConfig) {
  fuzz(
      {R"({"image_processor_type":"CLIPImageProcessor","size":{"shortest_edge":24},"crop_size":{"height":22,"width":20},"resample":3,"image_mean":[0.5,0.5,0.5],"image_std":[0.5,0.5,0.5]})",
       R"({"image_processor_type":"ConvNextImageProcessor","size":{"shortest_edge":16},"crop_pct":0.9})"},
      [](std::string_view bytes) {
        const auto json = nlohmann::json::parse(bytes, nullptr, false);
        const auto processor = data::parse_image_processor(json, "fuzz");
        if (processor.channels != 3) return;
        if (processor.height * processor.width + processor.edge > 1 << 16) return;  // sound, but large
        if (processor.crop_height * processor.crop_width > 1 << 16 || processor.crop_share < 0.1) return;
        processor.to_floats(processor.to_pixels({3, 5, 7, std::vector<std::uint8_t>(3 * 5 * 7, 9)}));
      });
}

TEST(Fuzz, DdiXml) {
  fuzz(
      {R"(<document id="d"><sentence id="s" text="Aspirin and &quot;warfarin&quot; interact."><entity id="a" charOffset="0-6"/><entity id="b" charOffset="13-20;22-23"/><pair id="p" e1="a" e2="b" ddi="true" type="effect"/></sentence></document>)"},
      [](std::string_view bytes) { data::parse_ddi_xml(bytes, "fuzz"); });
}

TEST(Fuzz, TextTables) {
  const test::Folder folder;
  const std::pair<const char*, std::vector<std::string>> tables[] = {
      {"t.csv", {"text,label\n\"a \"\"b\"\"\nc\",pos\nd,neg\n"}},
      {"t.tsv", {"text\tlabel\nx\t1\ny\t0\n"}},
      {"t.jsonl", {"{\"text\":\"good\",\"label\":1}\n{\"text\":\"bad\",\"label\":0}\n"}}};
  for (const auto& [name, seeds] : tables)
    fuzz(seeds, [&, file = folder.path / name](std::string_view bytes) {
      write(file, bytes);
      std::vector<std::string> classes;
      data::read_text_table(file, classes);
    });
}

TEST(Fuzz, ModelFolders) {
  const test::Folder folder;
  write(folder.path / "model.safetensors", "weights");
  const nlohmann::json keep{{"path", folder.path.string()}},
      renew{{"path", folder.path.string()}, {"head", "new"}};
  fuzz(
      {R"({"model_type":"bert","architectures":["BertForSequenceClassification"],"hidden_size":8,"num_hidden_layers":1,"num_attention_heads":2,"intermediate_size":16,"vocab_size":30,"max_position_embeddings":16,"num_labels":2})",
       R"({"model_type":"deberta-v2","hidden_size":8,"num_hidden_layers":1,"num_attention_heads":2,"intermediate_size":16,"vocab_size":30,"relative_attention":true,"share_att_key":true,"pos_att_type":"p2c|c2p","position_biased_input":false,"id2label":{"0":"a","1":"b"}})"},
      [&](std::string_view bytes) {
        write(folder.path / "config.json", bytes);
        for (const auto* options : {&keep, &renew}) {
          const auto chosen = models::choose("mine", *options, {0, 1, 8, 2, 8, 30});
          chosen.descriptor->parameters(chosen.config);
          chosen.descriptor->cost(chosen.config, 1, 8);
        }
      });
}

TEST(Fuzz, TextsAsSamples) {
  const data::TextTokenizer words("words"), bytes("bytes");
  fuzz({"Good film, caf\xC3\xA9!", "@DRUG$ with ''@DRUG$''"}, [&](std::string_view text) {
    for (const auto* tokenizer : {&words, &bytes}) {
      const std::string whole(text);
      for (const auto token : tokenizer->encode({whole, whole, 0}, 9).tokens)
        if (token < 1 || token >= tokenizer->vocabulary())
          throw std::logic_error("a token outside the vocabulary");
    }
  });
}

}  // namespace
}  // namespace expunge
