// Images of one's own: ROOT/train/CLASS/*.{png,jpg,jpeg} and ROOT/test/CLASS/..., all of one size.
#include "data/class_folders.hpp"

namespace expunge::data {
namespace image_folder {

const RegisterReader entry{{.info = {.name = "image_folder",
                                     .title = "Image folder",
                                     .source = "your own files",
                                     .licence = "your own",
                                     .files = "{train,test}/CLASS/*.{png,jpg,jpeg}",
                                     .mean = {0.5},
                                     .deviation = {0.5},
                                     .deletion_list = ""},
                            .folders = {},
                            .present = has_class_folders,
                            .sources = class_folder_sources,
                            .measure = measure_class_folders,
                            .read = read_class_folders}};

}  // namespace image_folder
}  // namespace expunge::data
