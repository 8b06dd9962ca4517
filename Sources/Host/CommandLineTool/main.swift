import Arguments
import PluginHost
import Support
import Training

StandardDescriptors.open()

let program = Program(
  name: "nano-reasoner", version: RunRecord.programVersion,
  summary: "Post-training for mathematical reasoning: SFT, then reinforcement learning with algorithms as plugins.",
  commands: [
    Command(QuickstartCommand.spec, run: QuickstartCommand.run),
    Command(SFTCommand.spec, run: SFTCommand.run),
    Command(RLCommand.spec, run: RLCommand.run),
    Command(BenchCommand.spec, run: BenchCommand.run),
    Command(EvalCommand.spec, run: EvalCommand.run),
    Command(ReportCommand.spec, run: ReportCommand.run),
    Command(InspectCommand.spec, run: InspectCommand.run),
    Command(VerifyCommand.spec, run: VerifyCommand.run),
    Command(BisectCommand.spec, run: BisectCommand.run),
    Command(GenerateCommand.spec, run: GenerateCommand.run),
    Command(ScoreCommand.spec, run: ScoreCommand.run),
    Command(TokenizeCommand.spec, run: TokenizeCommand.run),
    Command(JudgeCommand.spec, run: JudgeCommand.run),
    Command(ExportCommand.spec, run: ExportCommand.run),
    Command(PretrainCommand.spec, run: PretrainCommand.run),
    Command(PlanCommand.spec, run: PlanCommand.run),
    .group(
      "plugin", "algorithms as plugins",
      [
        Command(PluginCommands.list, run: PluginCommands.runList), Command(PluginCommands.show, run: PluginCommands.runShow),
        Command(PluginCheckCommand.spec, run: PluginCheckCommand.run), Command(PluginNewCommand.spec, run: PluginNewCommand.run),
        Command(PluginCommands.eval, run: PluginCommands.runEval), Command(PluginCompareCommand.spec, run: PluginCompareCommand.run),
      ]),
    .group("data", "data sets", [Command(DataCommand.spec, run: DataCommand.run), Command(DataShowCommand.spec, run: DataShowCommand.run)]),
    Command(DownloadCommand.spec, run: DownloadCommand.run),
    Command(DoctorCommand.spec, run: DoctorCommand.run),
    Command(GPUCheckCommand.spec, run: GPUCheckCommand.run),
  ])

// A full disk is an error to report, not a signal to die of.
signal(SIGXFSZ, SIG_IGN)
signal(SIGPIPE, SIG_IGN)
// A word that is not UTF-8 would be read as another, and a file of that other name be written.
for unsafe (position, word) in unsafe UnsafeBufferPointer(start: CommandLine.unsafeArgv, count: Int(CommandLine.argc)).enumerated() {
  if let word = unsafe word, unsafe String(validatingCString: word) == nil {
    try? AtomicFile.write(Array("nano-reasoner: word \(position) of the command line is not UTF-8 text\n".utf8), descriptor: 2, name: "standard error")
    exit(ExitCode.usage.rawValue)
  }
}
let words = Array(CommandLine.arguments.dropFirst())
switch words.first {
case CheckChild.argument: exit(CheckChild.main(Array(words.dropFirst())).rawValue)
case PluginChild.argument: exit(PluginChild.main().rawValue)
default:
  PluginInstance.nameWhatEndsTheProgram()
  exit(program.main(words).rawValue)
}
