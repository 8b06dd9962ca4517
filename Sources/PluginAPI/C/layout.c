#include "nr_plugin.h"
