# SPDX-License-Identifier: MIT
# Debian packages by `cpack -G DEB`, one for each component of the installation; scripts/release makes them.
# docs/packages.md says what each holds and why it depends on what.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME guided)
set(CPACK_PACKAGE_VENDOR "the guided contributors")
set(CPACK_PACKAGE_CONTACT "the guided contributors <guided@packages.invalid>")
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_BINARY_DIR}/packages)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL guided data library development)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_SOURCE_DIR}/cmake/debian/package_files.cmake)
set(whole "${PROJECT_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE}")

set(CPACK_DEBIAN_GUIDED_PACKAGE_NAME guided)
set(CPACK_DEBIAN_GUIDED_PACKAGE_DEPENDS "guided-data (>= ${PROJECT_VERSION})")
set(CPACK_DEBIAN_GUIDED_PACKAGE_RECOMMENDS "libopenblas0 | liblapack3, libmicrohttpd12") # loaded by eval and by serve
set(CPACK_DEBIAN_GUIDED_DESCRIPTION "diffusion models that beat GANs, on CPUs
Samples images from ADM-family diffusion models (Dhariwal and Nichol, 2021)
and others on ordinary CPUs, with classifier guidance; trains them, restores
pictures with them, and computes FID and the other scores of the field.")

set(CPACK_DEBIAN_DATA_PACKAGE_NAME guided-data)
set(CPACK_DEBIAN_DATA_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_DATA_PACKAGE_SHLIBDEPS OFF)
set(CPACK_DEBIAN_DATA_DESCRIPTION "built-in models and class names of guided
Small diffusion models of garments and emoji, their noisy classifiers, and
the names of ImageNet's classes, for the command and for programs.")

set(CPACK_DEBIAN_LIBRARY_PACKAGE_NAME libguided0)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_RECOMMENDS "libopenblas0 | liblapack3")
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SUGGESTS guided-data)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_MULTIARCH same)
file(WRITE ${CMAKE_BINARY_DIR}/control/shlibs "libguided 0 libguided0 (>= ${PROJECT_VERSION})\n")
file(WRITE ${CMAKE_BINARY_DIR}/control/triggers "activate-noawait ldconfig\n")
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA ${CMAKE_BINARY_DIR}/control/shlibs ${CMAKE_BINARY_DIR}/control/triggers)
set(CPACK_DEBIAN_LIBRARY_DESCRIPTION "diffusion models on CPUs, shared library
Opens checkpoints, samples with any solver, differentiates through one call
of a network, trains, and compares sets of images.")

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libguided-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "libguided0 (= ${whole}), libdnnl-dev, libfftw3-dev, libjansson-dev, \
libjpeg-dev, libpng-dev, libwebp-dev, libtiff-dev, libgif-dev, libxxhash-dev, libzip-dev, zlib1g-dev")
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION "diffusion models on CPUs, header and static library
What is needed to build programs with libguided: guided.h, the static
library, files for pkg-config and CMake, and four example programs.")

if(GUIDED_MPI)
  list(APPEND CPACK_COMPONENTS_ALL mpi)
  set(CPACK_DEBIAN_MPI_PACKAGE_NAME guided-mpi)
  set(CPACK_DEBIAN_MPI_PACKAGE_DEPENDS "guided (= ${whole})")
  set(CPACK_DEBIAN_MPI_PACKAGE_RECOMMENDS openmpi-bin)
  set(CPACK_DEBIAN_MPI_DESCRIPTION "guided over several machines by MPI
The module that guided loads when mpiexec or srun starts it: training and
evaluation shared by many processes.")
  set(CPACK_DEBIAN_GUIDED_PACKAGE_SUGGESTS guided-mpi)
endif()

if(GUIDED_PYTHON_DIR)
  list(APPEND CPACK_COMPONENTS_ALL python)
  set(CPACK_DEBIAN_PYTHON_PACKAGE_NAME python3-guided)
  set(CPACK_DEBIAN_PYTHON_PACKAGE_SECTION python)
  set(CPACK_DEBIAN_PYTHON_PACKAGE_ARCHITECTURE all)
  set(CPACK_DEBIAN_PYTHON_PACKAGE_SHLIBDEPS OFF)
  set(CPACK_DEBIAN_PYTHON_PACKAGE_DEPENDS "libguided0 (= ${whole}), python3:any, python3-numpy")
  set(CPACK_DEBIAN_PYTHON_PACKAGE_RECOMMENDS guided-data)
  set(CPACK_DEBIAN_PYTHON_PACKAGE_SUGGESTS python3-torch)
  set(CPACK_DEBIAN_PYTHON_PACKAGE_CONTROL_EXTRA ${CMAKE_SOURCE_DIR}/cmake/debian/postinst ${CMAKE_SOURCE_DIR}/cmake/debian/prerm)
  set(CPACK_DEBIAN_PYTHON_DESCRIPTION "diffusion models on CPUs, Python module
The module guided: sampling, denoising, restoration, evaluation and training
on numpy arrays, by libguided.")
endif()
include(CPack)
