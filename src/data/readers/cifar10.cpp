// CIFAR-10 (A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009), binary archive or
// PNG class folders.
#include "data/cifar_files.hpp"

namespace expunge::data {
namespace cifar10 {

const RegisterReader entry{
    cifar_reader({.name = "cifar10",
                  .title = "CIFAR-10",
                  .source = "Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images",
                  .licence = "none stated; free for research with citation",
                  .files = "{data_batch_1..5,test_batch}.bin, or {train,test}/CLASS/*.png",
                  .classes = 10,
                  .channels = 3,
                  .height = 32,
                  .width = 32,
                  .train_size = 50000,
                  .test_size = 10000,
                  // ImageNet's constants, as the published CIFAR ResNet weights expect.
                  .mean = {0.485, 0.456, 0.406},
                  .deviation = {0.229, 0.224, 0.225},
                  .deletion_list = "cifar10"},
                 {"cifar10/cifar-10-batches-bin", "cifar-10-batches-bin", "cifar10"},
                 {.train_files = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                  "data_batch_4.bin", "data_batch_5.bin"},
                  .test_files = {"test_batch.bin"},
                  .label_bytes = 1,
                  .label_at = 0})};

}  // namespace cifar10
}  // namespace expunge::data
