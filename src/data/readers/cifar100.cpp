// CIFAR-100, fine labels (A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009), binary
// archive or PNG class folders.
#include "data/cifar_files.hpp"

namespace expunge::data {
namespace cifar100 {

const RegisterReader entry{cifar_reader(
    {.name = "cifar100",
     .title = "CIFAR-100",
     .source = "Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images",
     .licence = "none stated; free for research with citation",
     .files = "{train,test}.bin, or {train,test}/CLASS/*.png",
     .classes = 100,
     .channels = 3,
     .height = 32,
     .width = 32,
     .train_size = 50000,
     .test_size = 10000,
     .mean = {0.485, 0.456, 0.406},
     .deviation = {0.229, 0.224, 0.225},
     .deletion_list = "cifar100"},
    {"cifar100/cifar-100-binary", "cifar-100-binary", "cifar100"},
    // A record is the coarse label, the fine label, the pixels.
    {.train_files = {"train.bin"}, .test_files = {"test.bin"}, .label_bytes = 2, .label_at = 1})};

}  // namespace cifar100
}  // namespace expunge::data
